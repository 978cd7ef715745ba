//! The command line of `shardcast-bench report`: reads files, writes the page, and has a browser
//! take its picture. Called by the program.

use crate::report::{Choice, Source, page, screenshot};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// What to show, and where to.
#[derive(Args, Debug)]
pub struct ReportArguments {
    /// Files of `shardcast-load --json` or `compare`; the newest comparison without any. A name is
    /// shown instead of the file's.
    #[arg(value_name = "[NAME=]FILE")]
    runs: Vec<String>,
    /// The page.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
    /// The page's heading.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The server that others are divided by; the first of each work without it.
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Works to show; all without it.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    works: Vec<String>,
    /// Also a picture of the page's top, taken by a Chromium of this host.
    #[arg(long, value_name = "FILE.png")]
    screenshot: Option<PathBuf>,
    /// The picture's size, in pixels.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1200x1000", value_parser = parse_size)]
    size: (u32, u32),
}

/// Larger files are not results.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// A browser's window.
const PIXELS_MAX: u32 = 10_000;

impl ReportArguments {
    /// Everything in these files, on a page of its own.
    pub fn everything(files: &[PathBuf], out: PathBuf) -> ReportArguments {
        let runs = files.iter().map(|file| file.to_string_lossy().into_owned());
        ReportArguments {
            runs: runs.collect(),
            out,
            title: None,
            baseline: None,
            works: Vec::new(),
            screenshot: None,
            size: (0, 0),
        }
    }

    /// Writes what was asked for and says where. `newest` finds what to show when nothing is named.
    ///
    /// # Errors
    /// In words: a file that cannot be read or written, what in it is no run, or a browser that
    /// does not work.
    pub fn obey(
        &self,
        newest: impl FnOnce() -> std::io::Result<PathBuf>,
    ) -> Result<String, String> {
        let mut sources = Vec::new();
        for run in &self.runs {
            sources.push(read(run)?);
        }
        if sources.is_empty() {
            let path = newest().map_err(|error| format!("no results: {error}"))?;
            sources.push(read(&path.to_string_lossy())?);
        }
        let choice = Choice {
            title: self.title.clone(),
            baseline: self.baseline.clone(),
            works: self.works.clone(),
        };
        let page = page(&sources, &choice)?;
        let out = self.out.display();
        fs::write(&self.out, &page).map_err(|error| format!("{out}: {error}"))?;
        let mut said = format!("{out}: {} KiB", page.len().div_ceil(1024));
        if let Some(picture) = &self.screenshot {
            screenshot::take(&self.out, picture, self.size)?;
            said += &format!("\n{}", picture.display());
        }
        Ok(said)
    }
}

fn read(run: &str) -> Result<Source, String> {
    // A file whose name has an equals sign is still a file.
    let (name, path) = match run.split_once('=') {
        Some((name, path)) if !name.is_empty() && !Path::new(run).exists() => {
            (name.to_owned(), path)
        }
        _ => (stem(run), run),
    };
    let problem = |error: &dyn std::fmt::Display| format!("{path}: {error}");
    let bytes = fs::metadata(path).map_err(|error| problem(&error))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(problem(&format!("above {} MiB", FILE_BYTES_MAX >> 20)));
    }
    let text = fs::read_to_string(path).map_err(|error| problem(&error))?;
    Ok(Source { name, text })
}

fn stem(path: &str) -> String {
    let stem = Path::new(path).file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').ok_or("is WIDTHxHEIGHT")?;
    let side = |text: &str| match text.parse() {
        Ok(pixels @ 1..=PIXELS_MAX) => Ok(pixels),
        _ => Err(format!("each side is 1 to {PIXELS_MAX}")),
    };
    Ok((side(sides.0)?, side(sides.1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_numbers() {
        assert_eq!(parse_size("1200x900"), Ok((1200, 900)));
        for text in ["1200", "1200x", "0x5", "5x10001", "x", "-1x5"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_is_named_after_itself_or_as_told() {
        let path =
            std::env::temp_dir().join(format!("shardcast-report-{}=x.jsonl", std::process::id()));
        fs::write(&path, "{}").expect("a temporary file");
        let path = path.to_string_lossy();
        let name = format!("shardcast-report-{}=x", std::process::id());
        assert_eq!(read(&path).expect("is there").name, name);
        assert_eq!(
            read(&format!("ours={path}")).expect("is there").name,
            "ours"
        );
        fs::remove_file(&*path).expect("is there");
        assert!(read(&path).is_err());
    }
}
