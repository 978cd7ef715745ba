//! A Chromium that is driven from outside through its DevTools protocol: for pages that must stay
//! as they are, such as files and the pages of a server.
//!
//! Invariant: whatever the page requests or complains about since the last look is kept until it is
//! asked for.

use super::chromium::Chromium;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use tungstenite::{Message, WebSocket};

pub(crate) struct Inspector {
    socket: WebSocket<TcpStream>,
    session: Value,
    calls: u64,
    /// What the page did, as it was told.
    events: Vec<Value>,
    browser: Chromium,
}

/// A browser that says nothing for so long is lost.
const PATIENCE: Duration = Duration::from_secs(60);

impl Inspector {
    pub(crate) fn open() -> Inspector {
        let browser = Chromium::start(&["--remote-debugging-port=0", "about:blank"]);
        let address = browser.inspector();
        let host = address
            .strip_prefix("ws://")
            .and_then(|rest| rest.split('/').next())
            .expect("an address");
        let stream = TcpStream::connect(host).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("not nothing");
        let (socket, _) = tungstenite::client(&address, stream).expect("a WebSocket server");
        let mut inspector = Inspector {
            socket,
            session: Value::Null,
            calls: 0,
            events: Vec::new(),
            browser,
        };
        let target = inspector.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = inspector.call(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        inspector.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            inspector.call(&format!("{domain}.enable"), json!({}));
        }
        inspector
    }

    /// Loads a file into a window of this size, for someone who prefers this colour scheme, and
    /// nothing that moves.
    pub(crate) fn show(&mut self, file: &Path, size: (u32, u32), scheme: &str) {
        self.visit(&format!("file://{}", file.display()), size, scheme);
    }

    /// The same with an address.
    pub(crate) fn visit(&mut self, url: &str, (width, height): (u32, u32), scheme: &str) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}),
        );
        self.call(
            "Emulation.setEmulatedMedia",
            json!({"features": [
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ]}),
        );
        self.events.clear();
        self.call("Page.navigate", json!({"url": url}));
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            self.read();
        }
    }

    /// What a script comes to.
    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({"expression": script, "returnByValue": true}),
        );
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{script}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// The pointer, at this place of the window.
    pub(crate) fn point(&mut self, x: f64, y: f64) {
        self.call(
            "Input.dispatchMouseEvent",
            json!({"type": "mouseMoved", "x": x, "y": y}),
        );
    }

    /// A key of the keyboard.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}),
            );
        }
    }

    /// Types a text where the focus is.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Lets pages use the clipboard.
    pub(crate) fn allow_clipboard(&mut self) {
        let permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"];
        self.call(
            "Browser.grantPermissions",
            json!({"permissions": permissions}),
        );
    }

    /// Writes what the page looks like from its top to its end into a file, if somebody wants to
    /// see it (`SCREENSHOTS_FOLDER`, a folder).
    pub(crate) fn keep_picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("SCREENSHOTS_FOLDER") else {
            return;
        };
        let picture = self.call(
            "Page.captureScreenshot",
            json!({"captureBeyondViewport": true}),
        );
        let picture = BASE64_STANDARD.decode(picture["data"].as_str().expect("base64"));
        let path = Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(path, picture.expect("base64")).expect("a writable folder");
    }

    /// Addresses that the page asked for, itself first.
    pub(crate) fn requested(&self) -> Vec<String> {
        let urls = self
            .of("Network.requestWillBeSent")
            .map(|event| &event["params"]["request"]["url"]);
        urls.map(|url| url.as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Addresses of the sockets that the page opened.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let urls = self
            .of("Network.webSocketCreated")
            .map(|event| &event["params"]["url"]);
        urls.map(|url| url.as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// What the page wrote to its console or failed at, and what the browser had to say about it.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let methods = [
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Network.loadingFailed",
        ];
        methods
            .iter()
            .flat_map(|method| self.of(method))
            .map(|event| event["params"].to_string())
            .collect()
    }

    fn of(&self, method: &str) -> impl Iterator<Item = &Value> {
        self.events
            .iter()
            .filter(move |event| event["method"] == method)
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut call = json!({"id": id, "method": method, "params": params});
        if !self.session.is_null() {
            call["sessionId"] = self.session.clone();
        }
        self.socket
            .send(Message::text(call.to_string()))
            .expect("the browser lives");
        loop {
            if let Some(answer) = self.read().filter(|answer| answer["id"] == id) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// Takes one message: an event is kept, an answer returned.
    fn read(&mut self) -> Option<Value> {
        let message = self.socket.read();
        let message = message
            .unwrap_or_else(|error| panic!("{error}; the browser says:\n{}", self.browser.log()));
        let value: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
        if value.get("id").is_some() {
            return Some(value);
        }
        self.events.push(value);
        None
    }
}
