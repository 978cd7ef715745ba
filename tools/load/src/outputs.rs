//! Where a report goes: standard output and files. Invariant: every file is open before the first
//! connection, so that nothing measured is lost to a wrong path. Called by `main`.

use crate::hdr::{to_hgrm, to_hlog};
use crate::options::CommonOptions;
use crate::report::Report;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The files that were asked for.
#[derive(Debug)]
pub(crate) struct Outputs {
    /// The line goes to standard output, and no table does.
    only_line: bool,
    json: Option<Output>,
    hgrm: Option<Output>,
    hlog: Option<Output>,
}

#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: File,
    /// What was there before goes.
    is_new: bool,
}

impl Outputs {
    /// Opens them.
    ///
    /// # Errors
    /// One cannot be written.
    pub(crate) fn open(common: &CommonOptions) -> Result<Outputs, String> {
        let only_line = common.json.as_deref() == Some(Path::new("-"));
        let json = common.json.as_ref().filter(|_| !only_line);
        Ok(Outputs {
            only_line,
            json: Output::open("--json", json, false)?,
            hgrm: Output::open("--hgrm", common.hgrm.as_ref(), true)?,
            hlog: Output::open("--hlog", common.hlog.as_ref(), true)?,
        })
    }

    /// Writes all of them. What goes before the table is `heading`.
    ///
    /// # Errors
    /// One could not be written, but all others were tried.
    pub(crate) fn write(
        mut self,
        report: &Report,
        line: &Value,
        heading: &str,
    ) -> Result<(), String> {
        let line = format!("{line}\n");
        let shown = if self.only_line {
            line.clone()
        } else {
            format!("{heading}{}", report.to_table())
        };
        let attempts = [
            write(&mut self.json, || Ok(line.into_bytes())),
            write(&mut self.hgrm, || {
                Ok(to_hgrm(report.latencies()).into_bytes())
            }),
            write(&mut self.hlog, || to_hlog(&report.findings.series)),
            std::io::stdout()
                .write_all(shown.as_bytes())
                .map_err(|error| format!("writing the report: {error}")),
        ];
        attempts.into_iter().collect()
    }
}

impl Output {
    /// To be appended to, or to be written anew once there is something to write.
    fn open(name: &str, path: Option<&PathBuf>, is_new: bool) -> Result<Option<Output>, String> {
        let Some(path) = path else {
            return Ok(None);
        };
        let mut options = OpenOptions::new();
        let options = options.create(true).write(true).append(!is_new);
        let file = options
            .open(path)
            .map_err(|error| format!("{name}: {} cannot be written: {error}", path.display()))?;
        let path = path.clone();
        Ok(Some(Output { path, file, is_new }))
    }
}

fn write(
    output: &mut Option<Output>,
    bytes: impl FnOnce() -> Result<Vec<u8>, String>,
) -> Result<(), String> {
    let Some(output) = output else {
        return Ok(());
    };
    let bytes = bytes()?;
    let emptied = if output.is_new {
        output.file.set_len(0)
    } else {
        Ok(())
    };
    emptied
        .and_then(|()| output.file.write_all(&bytes))
        .map_err(|error| format!("writing {}: {error}", output.path.display()))
}
