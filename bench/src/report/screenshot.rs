//! A picture of a page, taken by a headless Chromium with a profile of its own, which goes with it.
//! Called by `command`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What distributions call it.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// No sandbox, because root may not have one, and the page is our own.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--virtual-time-budget=2000",
];

/// Writes a PNG of the page's top: `size` is its width and height in pixels.
///
/// # Errors
/// In words: there is no browser, or it took no picture.
pub(crate) fn take(page: &Path, picture: &Path, size: (u32, u32)) -> Result<(), String> {
    let page = fs::canonicalize(page).map_err(|error| format!("{}: {error}", page.display()))?;
    let picture = std::path::absolute(picture).map_err(|error| error.to_string())?;
    let profile = std::env::temp_dir().join(format!("shardcast-report-{}", std::process::id()));
    fs::create_dir(&profile).map_err(|error| format!("{}: {error}", profile.display()))?;
    let taken = PROGRAMS
        .iter()
        .find_map(|program| run(program, &page, &picture, &profile, size))
        .unwrap_or_else(|| {
            Err(format!(
                "a picture needs one of {} on the PATH (apt-get install chromium)",
                PROGRAMS.join(", ")
            ))
        });
    let removed = fs::remove_dir_all(&profile);
    taken?;
    removed.map_err(|error| format!("{}: {error}", profile.display()))
}

/// `None`: there is no such program.
fn run(
    program: &str,
    page: &Path,
    picture: &Path,
    profile: &Path,
    (width, height): (u32, u32),
) -> Option<Result<(), String>> {
    let output = Command::new(program)
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", encoded(&page.to_string_lossy())))
        .env("HOME", profile)
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() && picture.is_file() => Some(Ok(())),
        Ok(output) => Some(Err(format!(
            "{program} took no picture: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(format!("{program}: {error}"))),
    }
}

/// A path inside of a URL (RFC 3986 §2.1).
fn encoded(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_part_of_a_url() {
        for (path, expected) in [
            ("/tmp/a-b_c.html", "/tmp/a-b_c.html"),
            ("/a b#c?d", "/a%20b%23c%3Fd"),
            ("/ü", "/%C3%BC"),
        ] {
            assert_eq!(encoded(path), expected);
        }
    }
}
