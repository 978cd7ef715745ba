//! The benchmark report in a browser, from a file: it is whole, asks for nothing, is legible in
//! light and dark and on a phone, and can be used with pointer and keyboard.

use super::inspector::Inspector;
use super::looks::{ILLEGIBLE, TOO_WIDE};
use serde_json::{Value, json};
use shardcast_bench::report::{Choice, Source, page};
use std::fs;
use std::path::PathBuf;

/// A name that would leave any context that does not escape it.
const HOSTILE: &str = r#"bun</script><img src=x onerror=alert(1)>"'&"#;

#[test]
fn the_report_is_whole_and_legible_everywhere() {
    let file = Written::new("legible", &comparison());
    let mut browser = Inspector::open();
    let mut grounds = Vec::new();
    for (size, scheme) in [
        ((360, 740), "light"),
        ((360, 740), "dark"),
        ((1200, 900), "light"),
        ((1200, 900), "dark"),
    ] {
        browser.show(&file.0, size, scheme);
        assert_eq!(
            browser.complaints(),
            Vec::<String>::new(),
            "{size:?} {scheme}"
        );
        let itself = format!("file://{}", file.0.display());
        let requested = browser.requested();
        assert!(
            requested
                .iter()
                .all(|url| *url == itself || url.starts_with("data:")),
            "{requested:?}"
        );
        assert_eq!(browser.evaluate(TOO_WIDE), json!([]), "{size:?} {scheme}");
        assert_eq!(browser.evaluate(ILLEGIBLE), json!([]), "{size:?} {scheme}");
        grounds.push(browser.evaluate("getComputedStyle(document.body).backgroundColor"));
    }
    assert_eq!(
        grounds,
        [
            "rgb(255, 255, 255)",
            "rgb(18, 21, 26)",
            "rgb(255, 255, 255)",
            "rgb(18, 21, 26)"
        ]
    );
}

#[test]
fn the_report_shows_what_was_measured() {
    let file = Written::new("figures", &comparison());
    let mut browser = Inspector::open();
    browser.show(&file.0, (1200, 900), "light");
    let latency = "2.75 ×2.50 – 3.00";
    let cases = [
        (
            "title",
            json!([format!("raw, ours and {HOSTILE} side by side")]),
        ),
        (
            ".facts dd",
            json!([
                "CPU <1>, 2 cores",
                "6.18",
                "abc1234",
                "2026-01-02 03:04:05 UTC",
                "3 servers, 2 works, 3 rounds, 12 runs"
            ]),
        ),
        ("nav a", json!(["echo", "mine"])),
        (
            ".overview tbody td",
            json!([
                "4.00 µsbaseline",
                "4.40 µs1.10 ×",
                "8.00 µs1.50 ×",
                "4.00 µsbaseline",
                "–",
                "–"
            ]),
        ),
        (
            "#work-1 .bars .value",
            json!([
                "4.00 µs3.00 – 5.00 µs",
                "4.40 µs3.30 – 5.50 µs",
                "8.00 µs5.00 – 9.00 µs"
            ]),
        ),
        (
            "#work-1 .ratios tbody tr:last-child td",
            json!([
                "1.50 ×1.00 – 2.00",
                latency,
                latency,
                latency,
                latency,
                latency,
                "0.50 ×"
            ]),
        ),
        (
            "#work-1 label .mark",
            json!(["limited by the generator in 1 of 3 rounds", "2 lost"]),
        ),
        (
            "#work-2 p.missing",
            json!(["Not recorded over time: latency, rate, CPU and memory."]),
        ),
    ];
    for (selector, expected) in cases {
        assert_eq!(texts(&mut browser, selector), expected, "{selector}");
    }
}

#[test]
fn the_report_draws_what_was_measured_and_nothing_else() {
    let file = Written::new("drawn", &comparison());
    let mut browser = Inspector::open();
    browser.show(&file.0, (1200, 900), "light");
    let counts = [
        ("#work-1 .log .curve", 3),
        ("#work-1 .linear .curve", 3),
        ("#work-1 .log .band", 3),
        ("#work-1 .log .symbol", 15),
        ("#work-1 .panels .chart", 8),
        ("#work-1 .panels .curve", 13),
        ("#work-1 .panels .missing", 1),
        ("#work-2 .log .curve", 1),
        ("#work-2 .chart", 2),
        ("img, iframe, object", 0),
    ];
    for (selector, expected) in counts {
        let script = format!("document.querySelectorAll({}).length", json!(selector));
        assert_eq!(browser.evaluate(&script), json!(expected), "{selector}");
    }
}

#[test]
fn the_report_answers_pointer_and_keyboard() {
    let file = Written::new("used", &comparison());
    let mut browser = Inspector::open();
    browser.show(&file.0, (1200, 900), "light");
    let shown = |browser: &mut Inspector, selector: &str| {
        browser.evaluate(&format!(
            "[...document.querySelectorAll({})].filter((element) => element.getClientRects().length).length",
            json!(selector)
        ))
    };
    assert_eq!(shown(&mut browser, "#work-1 .log .curve"), 3);
    assert_eq!(shown(&mut browser, "#work-1 .linear .curve"), 0);

    // A space unticks the second server and picks the linear scale.
    browser.evaluate("document.querySelector('#work-1 .pick-1').focus()");
    browser.press(" ", 32);
    browser.evaluate("document.querySelector('#work-1 .pick-linear').focus()");
    browser.press(" ", 32);
    assert_eq!(shown(&mut browser, "#work-1 .log .curve"), 0);
    assert_eq!(shown(&mut browser, "#work-1 .linear .curve"), 2);
    assert_eq!(shown(&mut browser, "#work-2 .log .curve"), 1);

    let readout = "#work-1 .linear .readout";
    browser.evaluate("document.querySelector('#work-1 .linear .plot').focus()");
    for (key, code, expected) in [
        ("End", 35, "Largestraw4.00 msHOSTILE10.0 ms"),
        (
            "ArrowLeft",
            37,
            "99.9 % took at mostraw2.00 msHOSTILE5.00 ms",
        ),
        ("Home", 36, "0 % took at mostraw1.00 msHOSTILE2.50 ms"),
    ] {
        browser.press(key, code);
        let expected = expected.replace("HOSTILE", HOSTILE);
        assert_eq!(texts(&mut browser, readout), json!([expected]), "{key}");
    }
    browser.press("Escape", 27);
    assert_eq!(shown(&mut browser, readout), 0);

    let place = browser.evaluate(
        "(() => { const plot = document.querySelectorAll('#work-1 .panels .plot')[3]; plot.scrollIntoView({block: 'center'});
        const {left, top, width, height} = plot.getBoundingClientRect(); return [left + width * 0.7, top + height / 2]; })()",
    );
    browser.point(place[0].as_f64().expect("x"), place[1].as_f64().expect("y"));
    assert_eq!(
        texts(&mut browser, "#work-1 .panels .readout:not([hidden])"),
        json!(["2.0 sraw2,000 /s"])
    );
    assert_eq!(
        shown(&mut browser, "#work-1 .panels .cross"),
        7,
        "charts over time move together"
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());

    // On a phone a readout covers the chart and does not widen the page.
    browser.show(&file.0, (360, 740), "light");
    browser.evaluate("document.querySelector('#work-1 .log .plot').focus()");
    for (key, code) in [("Home", 36), ("ArrowRight", 39), ("End", 35)] {
        browser.press(key, code);
        assert_eq!(shown(&mut browser, "#work-1 .log .readout"), 1, "{key}");
        assert_eq!(browser.evaluate(TOO_WIDE), json!([]), "{key}");
        let inside = "(() => { const {left, right} = document.querySelector('#work-1 .log .readout').getBoundingClientRect(); return left >= 0 && right <= innerWidth; })()";
        assert_eq!(browser.evaluate(inside), json!(true), "{key}");
    }
}

fn texts(browser: &mut Inspector, selector: &str) -> Value {
    browser.evaluate(&format!(
        "[...document.querySelectorAll({})].map((element) => element.textContent.trim().replace(/\\s+/g, ' '))",
        json!(selector)
    ))
}

/// A page in the temporary folder.
struct Written(PathBuf);

impl Written {
    fn new(name: &str, runs: &str) -> Written {
        let source = Source {
            name: "results".to_owned(),
            text: runs.to_owned(),
        };
        let html = page(&[source], &Choice::default()).expect("runs");
        let name = format!("shardcast-report-{name}-{}.html", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, html).expect("a file in the temporary folder");
        Written(path)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Three servers in three rounds of one work, of which the last has no time line; one of them at
/// another work, with few figures.
fn comparison() -> String {
    let mut lines = Vec::new();
    for (round, raw_us, other_us, raw_cpu_us, other_cpu_us) in [
        (1, 1000, 2500, 4.0, 8.0),
        (2, 500, 1000, 3.0, 9.0),
        (3, 2000, 6000, 5.0, 5.0),
    ] {
        let mut raw = load(raw_us, raw_cpu_us);
        if round == 3 {
            raw["limited_by"] = json!("generator");
        }
        lines.push(record("echo", "raw", round, &raw));
        let mut ours = load(raw_us, raw_cpu_us * 1.1);
        for point in ours["series"]["points"].as_array_mut().expect("points") {
            point["server_cpu_share"] = Value::Null;
        }
        lines.push(record("echo", "ours", round, &ours));
        let mut other = load(other_us, other_cpu_us);
        other["series"] = Value::Null;
        other["rate_per_s"] = json!(500);
        other["lost"] = json!(if round == 2 { 2 } else { 0 });
        lines.push(record("echo", HOSTILE, round, &other));
        let few = json!({"scenario": "echo", "lost": 0, "latency_us": {"p50": 10, "max": 20}, "server": {"cpu_us_per_message": raw_cpu_us}});
        lines.push(record("mine", "raw", round, &few));
    }
    lines.join("\n")
}

fn record(work: &str, server: &str, round: u32, load: &Value) -> String {
    json!({
        "date": "2026-01-02T03:04:05Z", "commit": "abc1234", "kernel": "6.18", "processor": "CPU <1>", "cores": 2,
        "work": work, "server": server, "round": round, "seconds": 3, "load": load,
    })
    .to_string()
}

/// What the load generator says of a server whose quickest answer takes so long.
fn load(us: u32, cpu_us: f64) -> Value {
    let us = f64::from(us);
    let quantiles = [
        (0.0, 1.0),
        (0.5, 1.25),
        (0.9, 1.5),
        (0.99, 1.75),
        (0.999, 2.0),
        (1.0, 4.0),
    ];
    let percentiles = quantiles.map(|(quantile, times)| json!([quantile, us * times]));
    let points: Vec<Value> = (1..=3)
        .map(|t_s| {
            json!({
                "t_s": t_s, "open": 10, "errors": 0, "rate_per_s": 1000 * t_s, "latency_us": {"p50": us, "p99": us * 2.0, "max": us * 4.0},
                "server_cpu_share": 0.5, "server_rss_kib": 4096, "kernel_kib": null, "client_cpu_share": 0.25,
            })
        })
        .collect();
    json!({
        "scenario": "echo", "received": 1000, "lost": 0, "errors": {}, "rate_per_s": 1000, "limited_by": "none",
        "percentiles": percentiles, "series": {"interval_s": 1, "points": points}, "server": {"cpu_us_per_message": cpu_us},
    })
}
