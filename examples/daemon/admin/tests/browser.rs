//! The page in a real browser.

use std::path::PathBuf;

use serde_json::Value;

use super::board::{HOSTILE, lock};
use super::webdriver::Browser;
use super::*;

fn pictures(name: &str) -> PathBuf {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    root.join("target/e2e").join(name)
}

/// A browser, where these tests are asked for and there is one.
async fn browser() -> Option<Browser> {
    let Ok(asked) = std::env::var("CTFORWARD_E2E") else {
        println!("skipped: CTFORWARD_E2E is not set");
        return None;
    };
    let browser = Browser::start().await;
    if browser.is_none() {
        assert_ne!(
            asked, "required",
            "chromedriver is needed (Debian's chromium-driver)"
        );
        println!("skipped: chromedriver is not installed");
    }
    browser
}

/// Reads the texts of everything that shows a value of `/status`.
const SHOWN: &str = "return [...document.querySelectorAll('[data-path]')]
    .map((n) => [n.dataset.path, n.dataset.as || '', n.textContent])";

#[tokio::test]
async fn the_page_shows_the_status_as_text_and_redrives() {
    let Some(browser) = browser().await else {
        return;
    };
    let served = on_loopback().await;
    let address = format!("http://{}/", served.admin.address);
    browser.look(1200, 900, false).await;
    browser.open(&address).await;
    browser
        .until("!document.body.classList.contains('waiting')")
        .await;

    // Its numbers are those of the status.
    let status: Value = serde_json::from_str(&get(&served, "/status").await.body).unwrap();
    let shown = browser.run(SHOWN).await;
    let shown = shown.as_array().unwrap();
    assert!(shown.len() > 25, "{shown:?}");
    let mut counts = 0;
    for part in shown {
        let [path, kind, text] = [0, 1, 2].map(|n| part[n].as_str().unwrap());
        let value = status.pointer(&format!("/{}", path.replace('.', "/")));
        let value = value.unwrap_or_else(|| panic!("{path} is not in the status"));
        match kind {
            "count" => {
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                assert_eq!(digits, value.to_string(), "{path}");
                counts += 1;
            }
            "" => assert_eq!(text, value.as_str().unwrap(), "{path}"),
            "rate" => assert_eq!(text.replace('\u{202f}', ""), "1235", "{path}"),
            "atmost" => assert!(text.starts_with("≤ "), "{path}: {text}"),
            "age" | "bytes" => assert!(
                text.starts_with(|c: char| c.is_ascii_digit()),
                "{path}: {text}"
            ),
            other => panic!("{other}"),
        }
    }
    assert!(counts > 12, "{counts}");
    assert_eq!(
        browser
            .run("return document.querySelector('[data-path=\"totals.bytes.sent\"]').textContent")
            .await,
        "21.0\u{a0}GB"
    );

    // What attackers wrote is text: no element of theirs, no script of theirs ran.
    let text = browser.run("return document.body.innerText").await;
    let text = text.as_str().unwrap();
    for words in [
        HOSTILE[0],
        HOSTILE[3],
        "\\u{202e}gnp.exe",
        "\\u{1b}[31mred",
        "\\u{a}forged: line",
    ] {
        assert!(text.contains(words), "{words} is not shown");
    }
    assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{1b}']));
    assert_eq!(
        browser
            .run("return document.querySelectorAll('img, script').length")
            .await,
        1
    );
    assert_eq!(browser.run("return document.title").await, "ctforward");
    let console = browser.console().await;
    let of_ours = console.iter().filter(|line| !line.contains("favicon"));
    assert_eq!(of_ours.count(), 0, "{console:?}");

    // The policy holds where something does get in.
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'document.title = \"owned\"'; \
         document.body.append(s); const i = document.createElement('img'); i.src = '/healthz'; \
         document.body.append(i); s.remove(); i.remove();",
    ).await;
    assert_eq!(browser.run("return document.title").await, "ctforward");
    assert!(
        browser
            .console()
            .await
            .iter()
            .any(|line| line.contains("Content Security Policy"))
    );

    for (name, width, dark) in [
        ("status.png", 1200, false),
        ("status-dark.png", 1200, true),
        ("status-phone.png", 360, false),
        ("status-phone-dark.png", 360, true),
    ] {
        browser.look(width, 900, dark).await;
        let wide = browser
            .run("return document.documentElement.scrollWidth")
            .await;
        assert!(
            wide.as_u64().unwrap() <= u64::from(width),
            "{name} is {wide} wide"
        );
        let png = browser.picture(&pictures(name)).await;
        assert!(png.starts_with(b"\x89PNG") && png.len() > 20_000, "{name}");
    }

    // A wrong token, then the right one; from a phone.
    browser
        .click("#quarantine button[data-reason=refused]")
        .await;
    browser.write("#ask-token", "some-other-token").await;
    browser.picture(&pictures("redrive.png")).await;
    browser.click("#ask-yes").await;
    browser
        .until("!document.getElementById('ask-error').hidden")
        .await;
    let said = browser
        .run("return document.getElementById('ask-error').textContent")
        .await;
    assert_eq!(said, "this is not the admin token");
    assert!(lock(&served.board.asked).is_empty());
    browser.write("#ask-token", TOKEN).await;
    browser.click("#ask-yes").await;
    browser.until("!document.getElementById('ask').open").await;
    assert_eq!(*lock(&served.board.asked), [Some("refused".to_owned())]);
    browser
        .until("document.querySelector('[data-path=\"quarantine.entries\"]').textContent === '9'")
        .await;
    browser
        .until("!document.querySelector('#quarantine button[data-reason=refused]')")
        .await;
    let said = browser
        .run("return document.getElementById('redrive-state').textContent")
        .await;
    let said = said.as_str().unwrap();
    assert!(
        said.contains("accepted") && said.contains(HOSTILE[0]),
        "{said}"
    );

    // The token is nowhere.
    let kept = browser
        .run(
            "return [document.getElementById('ask-token').value, document.cookie, location.href, \
         JSON.stringify({...localStorage}), JSON.stringify({...sessionStorage}), \
         document.documentElement.outerHTML].join('|')",
        )
        .await;
    assert!(!kept.as_str().unwrap().contains(TOKEN));

    // A daemon that is not ready, and one that is gone.
    *lock(&served.board.reasons) = vec![HOSTILE[0].to_owned()];
    browser
        .until("document.getElementById('state').textContent === 'not ready'")
        .await;
    served.stop.cancel();
    browser
        .until("!document.getElementById('lost').hidden")
        .await;
    let lost = browser
        .run("return document.getElementById('lost').textContent")
        .await;
    assert!(
        lost.as_str()
            .unwrap()
            .starts_with("The daemon does not answer"),
        "{lost}"
    );
    assert_eq!(
        browser
            .run("return document.getElementById('state').textContent")
            .await,
        "no answer"
    );
    browser.look(1200, 900, false).await;
    browser.picture(&pictures("lost.png")).await;
    browser.close().await;
}

#[tokio::test]
async fn a_page_of_another_origin_gets_nothing_through_the_browser() {
    let Some(browser) = browser().await else {
        return;
    };
    let served = on_loopback().await;
    // A page that may do what it likes, on another port: another origin, the same site.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let foreign = listener.local_addr().unwrap();
    let page = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\
                Connection: close\r\n\r\nhi";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    browser.open(&format!("http://{foreign}/")).await;
    let target = served.admin.address;
    for call in [
        format!("fetch('http://{target}/status')"),
        format!("fetch('http://{target}/status', {{mode: 'no-cors'}})"),
        format!("fetch('http://{target}/redrive', {{method: 'POST', mode: 'no-cors', body: ''}})"),
        format!(
            "fetch('http://{target}/redrive', \
             {{method: 'POST', headers: {{'X-Ctforward-Admin': '{TOKEN}'}}}})"
        ),
    ] {
        let script = format!(
            "return {call}.then((a) => a.text()).then((t) => 'read:' + t, () => 'refused')"
        );
        let got = browser.run(&script).await;
        let got = got.as_str().unwrap();
        assert!(got == "refused" || got == "read:", "{call}: {got}");
    }
    assert!(lock(&served.board.asked).is_empty());
    // It could have read what allows it, so that it was we who refused.
    let own = "return fetch('/').then((a) => a.text())";
    assert_eq!(browser.run(own).await, "hi");
    page.abort();
    browser.close().await;
}

#[tokio::test]
async fn a_browser_gets_in_from_elsewhere_by_its_login() {
    let Some(browser) = browser().await else {
        return;
    };
    let served = on_every_address().await;
    let port = served.admin.address.port();
    browser.open(&format!("http://127.0.0.1:{port}/")).await;
    let text = browser.run("return document.body.innerText").await;
    assert!(!text.as_str().unwrap().contains("ctforward"), "{text}");
    // As a person would at the browser's own question.
    browser
        .open(&format!("http://ctforward:{TOKEN}@127.0.0.1:{port}/"))
        .await;
    browser
        .until("!document.body.classList.contains('waiting')")
        .await;
    let state = browser
        .run("return document.getElementById('state').textContent")
        .await;
    assert_eq!(state, "ready");
    // The login alone does nothing.
    let script =
        "return fetch(location.origin + '/redrive', {method: 'POST'}).then((a) => a.status)";
    assert_eq!(browser.run(script).await, 401);
    assert!(lock(&served.board.asked).is_empty());
    browser.close().await;
}
