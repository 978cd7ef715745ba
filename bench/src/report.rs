//! Runs as one HTML page that needs nothing but itself: percentile plots, what happened over time,
//! tables and ratios, and where it was measured. Invariant: it shows what was measured, says what
//! was not, and escapes whatever its input holds. Called by `shardcast-bench report`.

mod chart;
pub mod command;
mod html;
mod measured;
mod number;
mod page;
mod percentiles;
mod quantity;
mod reading;
mod scale;
mod screenshot;
mod section;
mod tables;
mod timeline;
mod verdict;

pub use reading::Source;
use section::Section;

/// What the page is about; the default is everything.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The heading; none: made from what there is.
    pub title: Option<String>,
    /// The server that others are divided by, where it takes part; none: the first of each work.
    pub baseline: Option<String>,
    /// Works to show, by their recorded names; none: all.
    pub works: Vec<String>,
}

/// The page, in UTF-8.
///
/// # Errors
/// In words: what in a source is no run, or that a baseline or a work has none.
pub fn page(sources: &[Source], choice: &Choice) -> Result<String, String> {
    let reading = reading::read(sources)?;
    let sections = section::sections(reading.runs, choice.baseline.as_deref(), &choice.works)?;
    let title = choice.title.clone();
    let title = title.unwrap_or_else(|| heading(&sections));
    Ok(page::page(&title, &sections, &reading.absences))
}

/// Who is on the page.
fn heading(sections: &[Section]) -> String {
    /// More names, or longer ones, are no heading.
    const NAMES_MAX: usize = 3;
    const BYTES_MAX: usize = 80;
    let mut names: Vec<&str> = Vec::new();
    for entrant in sections.iter().flat_map(|section| &section.entrants) {
        if !names.contains(&entrant.name.as_str()) {
            names.push(&entrant.name);
        }
    }
    match names.as_slice() {
        [only] => (*only).to_owned(),
        [first @ .., last] if names.len() <= NAMES_MAX && names.concat().len() <= BYTES_MAX => {
            format!("{} and {last} side by side", first.join(", "))
        }
        _ if sections.iter().any(|section| section.is_mixed) => {
            format!("{} runs side by side", names.len())
        }
        _ => format!("{} servers side by side", names.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = r#"</script><script>alert(1)</script><!--"'&"#;

    #[test]
    fn nothing_of_the_input_becomes_markup() {
        let text = serde_json::json!({
            "work": HOSTILE, "server": HOSTILE, "round": 1, "date": HOSTILE, "commit": HOSTILE, "kernel": HOSTILE, "processor": HOSTILE,
            "load": {"scenario": HOSTILE, "errors": {HOSTILE: 1}, "limited_by": HOSTILE, "limit_reason": HOSTILE, "arguments": HOSTILE,
                "percentiles": [[0.5, 1], [1, 2]], "series": {"interval_s": 1, "points": [{"t_s": 1, "rate_per_s": 1}]}},
        });
        let sources = [Source {
            name: HOSTILE.to_owned(),
            text: text.to_string(),
        }];
        let choice = Choice {
            title: Some(HOSTILE.to_owned()),
            ..Choice::default()
        };
        let page = page(&sources, &choice).expect("a run");
        assert!(!page.contains("alert(1)</script>") && !page.contains("<!--\""));
        assert_eq!(page.matches("</script>").count(), 1);
        let escaped = "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--&quot;&#39;&amp;";
        assert!(page.matches(escaped).count() > 20);
    }

    #[test]
    fn the_page_names_no_address() {
        let sources = [Source {
            name: "x".to_owned(),
            text: r#"{"scenario":"echo"}"#.to_owned(),
        }];
        let page = page(&sources, &Choice::default()).expect("a run");
        for part in ["http:", "https:", "//", "url(", "@import", "src="] {
            let found = page
                .lines()
                .find(|line| line.contains(part) && !line.trim_start().starts_with("// "));
            assert_eq!(found, None, "{part}");
        }
    }
}
