//! A server with pages on its admin port, and an operator's hands and eyes in a browser.
//!
//! Names are hostile wherever clients choose them: what is shown of them must be text.

use super::inspector::Inspector;
use serde_json::{Value, json};
use shardcast_patience::wait_until;
use shardcast_tests::{Client, Served};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A name that would leave any context that does not escape it.
pub(crate) const HOSTILE: &str = r#"</script><img src=x onerror=alert(1)>"'&"#;

/// A room with history.
pub(crate) const ROOM: &str = r#"plain:</script><img src=x onerror=alert(1)>"'&"#;

/// What a window of a desk and one of a phone show, in light and dark.
pub(crate) const WINDOWS: [((u32, u32), &str); 4] = [
    ((360, 740), "light"),
    ((360, 740), "dark"),
    ((1440, 900), "light"),
    ((1440, 900), "dark"),
];

pub(crate) const DESK: (u32, u32) = (1440, 900);

const SECRET: &str = "a-secret-of-tests-0123456789abcdef";

/// A running server, and its files, which go with it.
pub(crate) struct Operated {
    pub(crate) served: Served,
    folder: PathBuf,
}

impl Operated {
    /// With these lines in `[admin]`, and tokens of clients as `tokens` says.
    pub(crate) fn start(admin: impl Fn(&PathBuf) -> String, tokens: &str) -> Operated {
        Operated::start_at("127.0.0.1", admin, tokens)
    }

    /// The same at another address.
    pub(crate) fn start_at(
        host: &str,
        admin: impl Fn(&PathBuf) -> String,
        tokens: &str,
    ) -> Operated {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-pages-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a new folder");
        fs::write(folder.join("secret"), SECRET).expect("a writable folder");
        let toml = format!(
            r#"
[server]
listen = "{host}:0"
admin = "{host}:0"
shards = 2
pin = "none"
lame_duck = "10m"
[admin]
{}
[auth]
tokens = "{tokens}"
sources = ["header", "query", "subprotocol", "message"]
[auth.keys.shared]
algorithm = "HS256"
secret_file = '{}'
[namespaces.kept]
history = 100
presence_events = true
[namespaces.plain]
history = 100
"#,
            admin(&folder),
            folder.join("secret").display(),
        );
        let served = Served::start(env!("CARGO_BIN_EXE_served"), &toml);
        Operated { served, folder }
    }

    /// Which asks for nothing.
    pub(crate) fn open() -> Operated {
        Operated::start(|_| String::new(), "optional")
    }

    /// Where a page of the admin port is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// The admin port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.served.address("http")
    }

    /// A client that is nobody.
    pub(crate) fn client(&self) -> Client {
        Client::native_at(self.served.address("ws"))
    }

    /// A client that is this user.
    pub(crate) fn user(&self, user: &str) -> Client {
        let path = format!("/ws?token={}", token(user));
        let mut client = Client::asking(self.served.address("ws"), &path, "shardcast.v1");
        assert!(client.hear().contains("welcome"));
        client
    }
}

impl Drop for Operated {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.folder);
    }
}

/// A token of this user.
pub(crate) fn token(user: &str) -> String {
    let claims = json!({ "sub": user, "exp": 4_102_444_800_u64 });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes()).expect("a key");
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token")
}

/// A request of the native dialect.
pub(crate) fn say(client: &mut Client, request: &Value) -> Value {
    client.say(&request.to_string());
    loop {
        let heard: Value = serde_json::from_str(&client.hear()).expect("JSON");
        if heard["id"] == request["id"] {
            return heard;
        }
    }
}

/// Joins a room, whatever it is called.
pub(crate) fn join(client: &mut Client, room: &str) {
    let joined = say(
        client,
        &json!({"type": "join_room", "id": "join", "room": room}),
    );
    assert_eq!(joined["type"], "joined", "{joined}");
}

/// What an operator sees and does.
impl Inspector {
    /// The text of each element, with single spaces.
    pub(crate) fn texts(&mut self, selector: &str) -> Value {
        self.evaluate(&format!(
            "[...document.querySelectorAll({})].map((element) => element.textContent.trim().replace(/\\s+/g, ' '))",
            json!(selector)
        ))
    }

    /// The text of the first one.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let texts = self.texts(selector);
        texts[0].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an element's text is this.
    #[track_caller]
    pub(crate) fn shows(&mut self, selector: &str, expected: &str) {
        self.shows_what(selector, expected, |text| text == expected);
    }

    /// Waits until an element's text begins so.
    #[track_caller]
    pub(crate) fn begins(&mut self, selector: &str, expected: &str) {
        self.shows_what(selector, expected, |text| text.starts_with(expected));
    }

    #[track_caller]
    fn shows_what(&mut self, selector: &str, expected: &str, fits: impl Fn(&str) -> bool) {
        let mut last = String::new();
        wait_until(&format!("{selector} shows {expected:?}"), || {
            let text = self.text(selector);
            let shown = fits(&text);
            if !shown && text != last {
                eprintln!("{selector}: {text:?}");
                last = text;
            }
            shown
        });
    }

    /// Waits until there are so many elements that can be seen.
    #[track_caller]
    pub(crate) fn has(&mut self, selector: &str, count: usize) {
        wait_until(&format!("{count} of {selector}"), || {
            self.seen(selector) == count as u64
        });
    }

    fn seen(&mut self, selector: &str) -> u64 {
        let script = format!(
            "[...document.querySelectorAll({})].filter((element) => element.getClientRects().length).length",
            json!(selector)
        );
        self.evaluate(&script).as_u64().expect("a number")
    }

    /// Presses the first of these elements.
    pub(crate) fn click(&mut self, selector: &str) {
        self.evaluate(&format!(
            "document.querySelector({}).click()",
            json!(selector)
        ));
    }

    /// Presses the button with this text in the first element.
    pub(crate) fn press_button(&mut self, within: &str, text: &str) {
        self.evaluate(&format!(
            "[...document.querySelector({}).querySelectorAll('button')].find((button) => button.textContent === {}).click()",
            json!(within),
            json!(text)
        ));
    }

    /// Puts a text into a field, or picks an option.
    pub(crate) fn fill(&mut self, selector: &str, text: &str) {
        self.evaluate(&format!(
            "(() => {{ const field = document.querySelector({}); field.value = {}; for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {{ bubbles: true }})); }})()",
            json!(selector),
            json!(text)
        ));
    }

    /// Every request went to this server, and none has this text in its address.
    pub(crate) fn asked_only(&self, admin: SocketAddr, secret: &str) {
        let own = format!("http://{admin}/");
        let requested = self.requested();
        assert!(requested.len() > 1, "{requested:?}");
        for url in requested {
            assert!(url.starts_with(&own), "{url}");
            assert!(secret.is_empty() || !url.contains(secret), "{url}");
        }
    }

    /// What the Tab key reaches, one after the other, until it comes back: the id or text of each.
    /// Each can be seen to have the focus.
    pub(crate) fn walk(&mut self) -> Vec<String> {
        const STOPS_MAX: usize = 200;
        let begin = "document.querySelector('.skip').focus()";
        self.evaluate(begin);
        let mut stops = vec![self.text(".skip")];
        for _ in 0..STOPS_MAX {
            self.press("Tab", 9);
            let stop = self.evaluate(
                "(() => { const element = document.activeElement; if (!element || element === document.body) return null;
                const { outlineStyle, outlineWidth } = getComputedStyle(element); const { width, height } = element.getBoundingClientRect();
                const name = element.id || element.getAttribute('aria-labelledby') || element.textContent.trim();
                return { name, outlined: outlineStyle !== 'none' && outlineWidth !== '0px', shown: width > 0 && height > 0 }; })()",
            );
            if stop.is_null() || stop["name"] == json!(stops[0]) {
                return stops;
            }
            let name = stop["name"].as_str().expect("a name").to_owned();
            assert_eq!(stop["outlined"], json!(true), "no outline: {name}");
            assert_eq!(stop["shown"], json!(true), "not to be seen: {name}");
            stops.push(name);
        }
        panic!("the focus does not come back: {stops:?}")
    }

    /// Fields without a label, buttons without a name, tables without headers, pictures without a
    /// text.
    pub(crate) fn unnamed(&mut self) -> Value {
        self.evaluate(
            "[...document.querySelectorAll('input, select, textarea')].filter((field) => !field.labels.length)
                .concat([...document.querySelectorAll('button, a')].filter((one) => !one.textContent.trim()))
                .concat([...document.querySelectorAll('table')].filter((table) => [...table.tHead.rows[0].cells].some((cell) => cell.scope !== 'col' || !cell.textContent.trim())))
                .concat([...document.querySelectorAll('img:not([alt]), section:not([aria-labelledby]), dialog:not([aria-labelledby])')])
                .map((element) => element.outerHTML.slice(0, 100))",
        )
    }
}
