//! The status page of the built daemon, in a real browser.

#[path = "../../daemon/admin/tests/webdriver.rs"]
#[allow(dead_code, reason = "what this test does not press is not used here")]
mod webdriver;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use webdriver::Browser;

use crate::support::*;

const ADMIN: &str = "an-admin-token-of-this-test";

/// A folder's name as somebody who attacks writes it.
const HOSTILE: &str = "<img src=x onerror=document.title='owned'>\u{202e}";

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Starts the built daemon, and says where its pages are.
async fn start(settings: &Path) -> (Daemon, String) {
    let mut path = PathBuf::from(cli().get_program());
    path.set_file_name(format!("daemon{}", std::env::consts::EXE_SUFFIX));
    let mut child = Command::new(path)
        .env_clear()
        .env("NO_PROXY", "127.0.0.1")
        .arg("--config")
        .arg(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let daemon = Daemon(child);
    let found = tokio::task::spawn_blocking(move || {
        let mut log = String::new();
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("the pages are at ") {
                let address = rest.split_whitespace().next().unwrap().to_owned();
                // What it says on is read, so that it is never held up.
                std::thread::spawn(move || lines.for_each(drop));
                return address;
            }
            log.push_str(&line);
        }
        panic!("the daemon ended: {log}");
    });
    (daemon, found.await.unwrap())
}

#[tokio::test]
async fn the_page_of_the_built_daemon_shows_its_status_and_redrives() {
    let Ok(asked) = std::env::var("CTFORWARD_E2E") else {
        println!("skipped: CTFORWARD_E2E is not set");
        return;
    };
    let Some(browser) = Browser::start().await else {
        assert_ne!(
            asked, "required",
            "chromedriver is needed (Debian's chromium-driver)"
        );
        println!("skipped: chromedriver is not installed");
        return;
    };
    let (endpoint, place) = (standin().await, tempfile::tempdir().unwrap());
    let at = place.path().display();
    secret(&place.path().join("token"), TOKEN);
    secret(&place.path().join("admin"), ADMIN);
    // Three records, and an element that is none.
    let records: Vec<_> = ["One", "Two", "Three"].map(record).into();
    let text = log_file(&records).replace("\"Records\":[", "\"Records\":[7,");
    let log = key("111122223333", "us-east-1", 5);
    let path = place.path().join("logs").join(HOSTILE).join(log);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, gzip(text.as_bytes())).unwrap();
    let settings = place.path().join("daemon.toml");
    let url = endpoint.endpoint();
    let words = format!(
        "[endpoint]\nurl = \"{url}\"\ntoken_file = \"{at}/token\"\n\
         [keep]\nledger = \"{at}/ledger.sqlite\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{at}/admin\"\n\
         [source.spool]\ntype = \"directory\"\npath = \"{at}/logs\"\nevery_seconds = 1\n"
    );
    std::fs::write(&settings, words).unwrap();
    let (_daemon, address) = start(&settings).await;

    browser.look(1200, 900, false).await;
    browser.open(&address).await;
    let shows = |path: &str, text: &str| {
        format!("document.querySelector('[data-path=\"{path}\"]').textContent === '{text}'")
    };
    browser.until(&shows("totals.records.accepted", "3")).await;
    browser.until(&shows("quarantine.entries", "1")).await;
    let status = || async {
        let answer = reqwest::get(format!("{address}status")).await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let said = status().await;
    let shown = browser
        .run(
            "return [...document.querySelectorAll('[data-path^=totals][data-as=count]')]
            .map((n) => [n.dataset.path, n.textContent])",
        )
        .await;
    let shown = shown.as_array().unwrap();
    assert!(shown.len() > 10, "{shown:?}");
    for part in shown {
        let [path, text] = [0, 1].map(|n| part[n].as_str().unwrap());
        let value = said
            .pointer(&format!("/{}", path.replace('.', "/")))
            .unwrap();
        assert_eq!(text, value.to_string(), "{path}");
    }
    assert_eq!(said["balanced"], true, "{said}");

    // The records are of March, which is beyond what is told apart.
    assert_eq!(
        browser
            .run(&format!(
                "return {}",
                shows("freshness.p50_seconds", "> 30\u{a0}days")
            ))
            .await,
        true
    );

    // The folder's name is text.
    let text = browser.run("return document.body.innerText").await;
    let text = text.as_str().unwrap();
    assert!(
        text.contains("<img src=x onerror=document.title='owned'>\\u{202e}"),
        "{text}"
    );
    assert_eq!(browser.run("return document.images.length").await, 0);
    assert_eq!(browser.run("return document.title").await, "ctforward");
    let pictures = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/e2e"));
    browser.picture(&pictures.join("daemon.png")).await;

    browser.click("#redrive-all").await;
    browser.write("#ask-token", ADMIN).await;
    browser.click("#ask-yes").await;
    browser.until("!document.getElementById('ask').open").await;
    browser
        .until("document.getElementById('redrive-state').textContent.includes('taken up')")
        .await;
    let said = status().await;
    let last = &said["redrive"]["last"]["redriven"];
    assert!(
        last["taken"].as_u64().is_some_and(|taken| taken > 0),
        "{said}"
    );
    // A 7 is no record on the second try either.
    assert_eq!(last["remaining"], 1, "{said}");
    browser.close().await;
}
