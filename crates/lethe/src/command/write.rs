//! Results as text.

use std::path::PathBuf;

use report::html::{Page, Section};
use report::plot::Svg;
use serde::Serialize;

use super::File;
use crate::error::{Error, Result};

/// A value as JSON with a line end.
pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(no_json)
}

/// What could not be written as JSON.
pub(crate) fn no_json(source: serde_json::Error) -> Error {
    Error::Report(report::Error::Serialize { source })
}

/// Rows below a header as comma-separated values.
pub(crate) fn csv<S: AsRef<[u8]>>(
    header: &[S],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<Vec<u8>> {
    let refused = |e: &dyn std::fmt::Display| Error::file("table", e.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(|e| refused(&e))?;
    for row in rows {
        writer.write_record(row).map_err(|e| refused(&e))?;
    }
    writer.into_inner().map_err(|e| refused(&e))
}

/// Names and what they say, in two columns.
pub(crate) fn aligned(lines: &[(String, String)]) -> String {
    let widest = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.iter().map(|(name, text)| format!("{name:<widest$}  {text}\n")).collect()
}

/// The files of one command.
pub(crate) struct Folder {
    path: PathBuf,
    files: Vec<File>,
    /// Names of files that are written already.
    written: Vec<String>,
}

impl Folder {
    /// An empty folder of this name.
    pub(crate) fn named(path: PathBuf) -> Self {
        Folder { path, files: Vec::new(), written: Vec::new() }
    }

    /// Writes the files so far at once, so that they are there whatever becomes of the rest.
    pub(crate) fn write(&mut self) -> Result<()> {
        for file in std::mem::take(&mut self.files) {
            file.write()?;
            self.written.push(name(&file));
        }
        Ok(())
    }

    /// One file more.
    pub(crate) fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.files.push(File { path: self.path.join(name), bytes: bytes.into() });
    }

    /// The pictures that the command may leave and that this call has not.
    pub(crate) fn stale(&self, pictures: &[&str]) -> Vec<PathBuf> {
        let paths = pictures.iter().map(|name| self.path.join(name));
        paths.filter(|path| !self.files.iter().any(|file| file.path == *path)).collect()
    }

    /// A line that names all files, and those that are still to be written.
    pub(crate) fn finish(self) -> (String, Vec<File>) {
        let mut names: Vec<String> = self.files.iter().map(name).collect();
        // One that is written again is one file.
        let before: Vec<String> = self.written.into_iter().filter(|w| !names.contains(w)).collect();
        names.extend(before);
        (format!("written to {}: {}\n", self.path.display(), names.join(", ")), self.files)
    }
}

fn name(file: &File) -> String {
    file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A picture with its file name and what it shows.
pub(crate) struct Picture {
    pub(crate) name: &'static str,
    pub(crate) caption: String,
    pub(crate) svg: Svg,
}

/// A picture, unless there is nothing to show: no strength above zero, no coefficient.
pub(crate) fn picture(
    name: &'static str,
    caption: impl Into<String>,
    svg: report::Result<Svg>,
) -> Result<Option<Picture>> {
    match svg {
        Ok(svg) => Ok(Some(Picture { name, caption: caption.into(), svg })),
        Err(report::Error::EmptyPlot { .. } | report::Error::NoPositiveData { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// One page with everything.
pub(crate) fn page(
    title: &str,
    lines: &[(String, String)],
    pictures: &[Picture],
    sections: impl IntoIterator<Item = Section>,
) -> String {
    let mut page = Page::new(title).key_values(lines.iter().map(|(k, v)| (k, v)));
    if !pictures.is_empty() {
        let section = Section::new("Plots");
        let add =
            |section: Section, picture: &Picture| section.plot(&picture.svg, &picture.caption);
        page = page.section(pictures.iter().fold(section, add));
    }
    sections.into_iter().fold(page, Page::section).to_html()
}
