//! One JSON object per line, appended safely.
//!
//! [`append`] writes a whole line with one system call under a file lock and forces it to the disk,
//! so several processes may share a file. A process or machine that dies in between can leave a
//! *torn* line: the beginning of an object without its end. The reader skips such a line and
//! reports it in [`Lines::torn`]; the next append starts on a new line. Anything else that does not
//! parse is an error with a line number.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::atomic::{parent_of, sync_folder};
use crate::error::{Error, Result};

/// What a JSON-lines file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines<T> {
    /// The values, oldest first.
    pub values: Vec<T>,
    /// Lines that were cut off while being written, and were skipped.
    pub torn: Vec<TornLine>,
}

/// A line that was cut off while being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornLine {
    /// The line, counted from one.
    pub line: usize,
    /// What is there, with invalid characters replaced.
    pub text: String,
}

/// Appends `value` as one line and forces it to the disk. Creates the file, not its folder.
///
/// # Errors
/// [`Error::NotAnObject`] if `value` is no JSON object, [`Error::Serialize`],
/// [`Error::MissingFolder`], [`Error::Io`]. What was in the file stays; a line that could be
/// written only in part (full disk) is taken back where the system allows.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
/// struct Step { t: u64, loss: f64 }
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("steps.jsonl");
/// report::json_lines::append(&path, &Step { t: 1, loss: 0.5 })?;
/// let lines = report::json_lines::read::<Step>(&path)?;
/// assert_eq!(lines.values, [Step { t: 1, loss: 0.5 }]);
/// assert!(lines.torn.is_empty());
/// # Ok(()) }
/// ```
pub fn append<T: Serialize + ?Sized>(path: impl AsRef<Path>, value: &T) -> Result<()> {
    append_all(path, [value])
}

/// [`append`] for many values with one lock and one sync. Every value is serialized first, so a
/// value that fails leaves the file as it was.
///
/// # Errors
/// As [`append`].
pub fn append_all<'a, T: Serialize + ?Sized + 'a>(
    path: impl AsRef<Path>,
    values: impl IntoIterator<Item = &'a T>,
) -> Result<()> {
    let path = path.as_ref();
    let mut text = Vec::new();
    for value in values {
        push_line(&mut text, value)?;
    }
    if text.is_empty() {
        return Ok(());
    }
    let folder = parent_of(path);
    if !folder.is_dir() {
        return Err(Error::MissingFolder { path: folder });
    }
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .map_err(Error::io("open", path))?;
    lock(&file).map_err(Error::io("lock", path))?; // Released when the file is closed.
    append_bytes(&mut file, text).map_err(Error::io("append to", path))?;
    if is_new { sync_folder(&folder) } else { Ok(()) }
}

/// Reads a whole file. Blank lines are skipped.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Line`] if a line is whole but not a `T`, or
/// is damaged in another way than by being cut off.
pub fn read<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Lines<T>> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    parse(&bytes).map_err(|(line, source)| Error::Line { path: path.to_path_buf(), line, source })
}

/// [`read`], but a file that does not exist is an empty one.
///
/// # Errors
/// As [`read`].
pub fn read_or_empty<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Lines<T>> {
    match read(path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Lines { values: Vec::new(), torn: Vec::new() })
        }
        other => other,
    }
}

fn push_line<T: Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) -> Result<()> {
    let start = text.len();
    serde_json::to_writer(&mut *text, value).map_err(|source| Error::Serialize { source })?;
    // Only an object makes every proper beginning recognizable: `12` is a beginning of `123`.
    if text[start..].first() != Some(&b'{') {
        let got = String::from_utf8_lossy(&text[start..]).chars().take(40).collect();
        return Err(Error::NotAnObject { got });
    }
    text.push(b'\n');
    Ok(())
}

fn lock(file: &File) -> io::Result<()> {
    match file.lock() {
        // Without locks a single append is still one system call.
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(()),
        other => other,
    }
}

fn append_bytes(file: &mut File, mut text: Vec<u8>) -> io::Result<()> {
    let old_len = file.seek(SeekFrom::End(0))?;
    if 0 < old_len {
        let mut last = [0];
        file.seek(SeekFrom::Start(old_len - 1))?;
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            text.insert(0, b'\n');
        }
    }
    let written = file.write_all(&text).and_then(|()| file.sync_data());
    if written.is_err() {
        let _ = file.set_len(old_len); // The first error is the one worth telling.
    }
    written
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Lines<T>, (usize, serde_json::Error)> {
    let mut lines = Lines { values: Vec::new(), torn: Vec::new() };
    for (idx, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(value) => lines.values.push(value),
            Err(_) if is_torn(line) => lines
                .torn
                .push(TornLine { line: idx + 1, text: String::from_utf8_lossy(line).into_owned() }),
            Err(source) => return Err((idx + 1, source)),
        }
    }
    Ok(lines)
}

/// Whether `line` is the beginning of an object, possibly followed by the zero bytes that a file
/// system shows for blocks that never reached the disk.
fn is_torn(line: &[u8]) -> bool {
    let written = line.split(|&b| b == 0).next().unwrap_or_default().trim_ascii_start();
    match written.first() {
        None => line.contains(&0),
        Some(b'{') => match serde_json::from_slice::<Value>(written) {
            Ok(_) => written.len() < line.trim_ascii_start().len(),
            Err(e) => e.is_eof(),
        },
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values(bytes: &[u8]) -> Lines<Value> {
        parse(bytes).unwrap()
    }

    #[test]
    fn what_is_appended_is_read_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        assert_eq!(read_or_empty::<Value>(&path).unwrap().values, [] as [Value; 0]);
        append(&path, &json!({"a": 1, "text": "two\nlines"})).unwrap();
        append_all(&path, &[json!({"a": 2}), json!({"a": 3})]).unwrap();
        let lines = read::<Value>(&path).unwrap();
        assert_eq!(lines.values[0]["text"], "two\nlines");
        assert_eq!(lines.values[1..], [json!({"a": 2}), json!({"a": 3})]);
        assert!(lines.torn.is_empty());
    }

    #[test]
    fn the_line_after_a_torn_one_is_safe() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        append(&path, &json!({"a": 1})).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"a": 2, "b": "x"#).unwrap();
        let torn = TornLine { line: 2, text: r#"{"a": 2, "b": "x"#.into() };
        let lines = read::<Value>(&path).unwrap();
        assert_eq!((lines.values.len(), &lines.torn[..]), (1, &[torn.clone()][..]));
        append(&path, &json!({"a": 3})).unwrap();
        let lines = read::<Value>(&path).unwrap();
        assert_eq!(lines.values, [json!({"a": 1}), json!({"a": 3})]);
        assert_eq!(lines.torn, [torn]);
    }

    #[test]
    fn a_damaged_line_is_an_error_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        fs::write(&path, "{\"a\": 1}\n\n{\"a\" 2}\n{\"a\": 3}\n").unwrap();
        let err = read::<Value>(&path).unwrap_err();
        assert!(matches!(err, Error::Line { line: 3, .. }), "{err}");
        assert!(err.to_string().contains("a.jsonl:3: "), "{err}");
    }

    #[test]
    fn a_whole_line_of_the_wrong_type_is_an_error_even_without_its_newline() {
        let wrong = parse::<BTreeMap<String, u32>>(b"{\"a\": 1}\n{\"a\": \"x\"}");
        assert_eq!(wrong.unwrap_err().0, 2);
    }

    #[test]
    fn a_whole_line_without_its_newline_counts() {
        assert_eq!(values(b"{\"a\": 1}\n{\"a\": 2}").values.len(), 2);
    }

    #[test]
    fn blocks_that_never_reached_the_disk_are_torn_lines() {
        assert_eq!(values(b"{\"a\": 1}\n\0\0\0\0").torn[0].line, 2);
        assert_eq!(values(b"{\"a\": 1}\n{\"a\": \0\0\n{}\n").torn[0].line, 2);
        assert_eq!(values(b"{\"a\": 1}\0\0\n{}\n").torn[0].line, 1);
    }

    #[test]
    fn only_objects_are_accepted_and_a_refusal_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        assert!(matches!(append(&path, &12), Err(Error::NotAnObject { .. })));
        let second_fails = append_all(&path, &[json!({}), json!([1])]);
        assert!(matches!(second_fails, Err(Error::NotAnObject { .. })));
        assert!(!path.exists());
        let nowhere = dir.path().join("no/a.jsonl");
        assert!(matches!(append(nowhere, &json!({})), Err(Error::MissingFolder { .. })));
    }

    #[test]
    fn writers_side_by_side_do_not_mix_their_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for i in 0..5 {
                        append(path, &json!({"thread": thread, "i": i})).unwrap();
                    }
                });
            }
        });
        let lines = read::<Value>(&path).unwrap();
        assert_eq!((lines.values.len(), lines.torn.len()), (20, 0));
    }

    proptest! {
        #[test]
        fn every_proper_beginning_of_a_line_is_torn_and_hurts_no_other_line(
            map in proptest::collection::btree_map(".*", (any::<i32>(), any::<f64>(), ".*", any::<bool>()), 0..4),
            cut in any::<proptest::sample::Index>(),
        ) {
            let line = serde_json::to_vec(&map).unwrap();
            let cut = cut.index(line.len());
            let mut bytes = b"{\"first\":1}\n".to_vec();
            bytes.extend_from_slice(&line[..cut]);
            let open = values(&bytes);
            bytes.extend_from_slice(b"\n{\"last\":1}\n");
            let closed = values(&bytes);
            prop_assert_eq!(open.values, [json!({"first": 1})]);
            prop_assert_eq!(open.torn.len(), usize::from(0 < cut));
            prop_assert_eq!(closed.values, [json!({"first": 1}), json!({"last": 1})]);
            prop_assert_eq!(closed.torn.len(), usize::from(0 < cut));
        }
    }
}
