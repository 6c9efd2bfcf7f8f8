//! As much of WebDriver as is needed to look at a page: chromedriver over HTTP.
//!
//! <https://www.w3.org/TR/webdriver2/>

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// A browser that is closed when it is dropped.
pub(super) struct Browser {
    driver: Child,
    client: reqwest::Client,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A headless Chromium; `None` where it is not installed.
    pub(super) async fn start() -> Option<Self> {
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            client,
            session: format!("http://127.0.0.1:{port}"),
            _profile: profile,
        };
        let mut left = 200;
        while browser.send("GET", "/status", Value::Null).await.is_err() {
            left -= 1;
            assert!(left > 0, "chromedriver does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let profile = browser._profile.path().display().to_string();
        let options = json!({
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--hide-scrollbars", "--no-first-run", "--disable-extensions",
                "--disable-background-networking", "--disable-component-update",
                "--disable-sync", "--password-store=basic",
                format!("--user-data-dir={profile}"),
            ],
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let begun = browser.send("POST", "/session", wanted).await.unwrap();
        let id = begun["sessionId"].as_str().unwrap();
        browser.session = format!("{}/session/{id}", browser.session);
        Some(browser)
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let method = method.parse::<reqwest::Method>().unwrap();
        let mut request = self
            .client
            .request(method.clone(), format!("{}{path}", self.session));
        if method == reqwest::Method::POST {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|e| e.to_string())?;
        let fine = answer.status().is_success();
        let mut said: Value = answer.json().await.map_err(|e| e.to_string())?;
        let value = said["value"].take();
        if fine {
            Ok(value)
        } else {
            Err(value.to_string())
        }
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, body).await.unwrap()
    }

    pub(super) async fn open(&self, address: &str) {
        self.post("/url", json!({ "url": address })).await;
    }

    /// What a script in the page answers. The page's own policy does not hold it back.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []}))
            .await
    }

    /// Waits until a script in the page says `true`.
    pub(super) async fn until(&self, script: &str) {
        for _ in 0..600 {
            if self.run(&format!("return !!({script})")).await == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "never: {script}\n{}",
            self.run("return document.body.innerText").await
        );
    }

    async fn find(&self, selector: &str) -> String {
        let wanted = json!({"using": "css selector", "value": selector});
        let found = self.post("/element", wanted).await;
        let id = found.as_object().and_then(|o| o.values().next()).unwrap();
        id.as_str().unwrap().to_owned()
    }

    /// Presses what a person would press: it must be there to be seen.
    pub(super) async fn click(&self, selector: &str) {
        let id = self.find(selector).await;
        self.post(&format!("/element/{id}/click"), json!({})).await;
    }

    pub(super) async fn write(&self, selector: &str, text: &str) {
        let id = self.find(selector).await;
        self.post(&format!("/element/{id}/value"), json!({ "text": text }))
            .await;
    }

    /// A window of this size, light or dark.
    pub(super) async fn look(&self, width: u32, height: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        for (command, params) in [
            (
                "Emulation.setDeviceMetricsOverride",
                json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}),
            ),
            (
                "Emulation.setEmulatedMedia",
                json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
            ),
        ] {
            let command = json!({"cmd": command, "params": params});
            self.post("/goog/cdp/execute", command).await;
        }
    }

    /// A picture of the whole page.
    pub(super) async fn picture(&self, path: &Path) -> Vec<u8> {
        let params = json!({"format": "png", "captureBeyondViewport": true});
        let command = json!({"cmd": "Page.captureScreenshot", "params": params});
        let taken = self.post("/goog/cdp/execute", command).await;
        let png = decode(taken["data"].as_str().unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &png).unwrap();
        png
    }

    /// What the browser wrote to its console since it was asked last.
    pub(super) async fn console(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"})).await;
        let lines = log.as_array().unwrap().iter();
        lines.map(|line| line["message"].to_string()).collect()
    }

    pub(super) async fn close(self) {
        tokio::task::spawn_blocking(move || drop(self))
            .await
            .unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // After a failed test the browser is still there, and does not end with its driver.
        if let Some((host, path)) = self
            .session
            .strip_prefix("http://")
            .and_then(|s| s.split_once('/'))
            && let Ok(mut stream) = std::net::TcpStream::connect(host)
        {
            let line =
                format!("DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.write_all(line.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Base64, as far as a browser's own pictures need it.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    bytes
}
