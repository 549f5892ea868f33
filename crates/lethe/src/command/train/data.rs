//! Records as batches of tensors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::{Map, Value};
use slope2::data::{Csv, Table, csv};
use tape_nn::LabeledBatch;
use tape_nn::load::idx;

use super::config::{Data, Model};
use crate::error::{Error, Result};

/// Records and their classes.
#[derive(Clone, Debug)]
pub(super) struct Set {
    inputs: Inputs,
    labels: Vec<u32>,
}

/// What the network sees of a record.
#[derive(Clone, Debug)]
enum Inputs {
    Features {
        values: Vec<f32>,
        width: usize,
    },
    Images {
        bytes: Vec<u8>,
        size: (usize, usize),
    },
    /// Padded with zeros at the end.
    Tokens {
        ids: Vec<u32>,
        length: usize,
    },
}

/// What one record is, which determines the first layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Features(usize),
    Image(usize, usize),
    /// Ids below the second number, the first many.
    Tokens(usize, usize),
}

/// Bytes, and padding.
const BYTES: usize = 257;

/// Reads the training records, and those of the test set if there is one, which must be others.
pub(super) fn read(data: &Data, model: &Model) -> Result<(Set, Option<Set>, Shape)> {
    let (train, test, shape) = sets(data, model)?;
    // By content, so that neither a copy nor a link, compression or another order hides it.
    if test.as_ref().is_some_and(|test| test.has_inputs_of(&train)) {
        let file = match data {
            Data::Csv { test, .. } | Data::Jsonl { test, .. } => test.as_ref(),
            Data::Idx { test, .. } => test.as_ref().map(|[images, _]| images),
        };
        let what = "data.test holds the records of data.train: their exact accuracy would be an answer without noise about \
                    records that the privacy statement protects; give a file of other records, or leave data.test out";
        return Err(Error::file(file.cloned().unwrap_or_default(), what));
    }
    Ok((train, test, shape))
}

fn sets(data: &Data, model: &Model) -> Result<(Set, Option<Set>, Shape)> {
    match data {
        Data::Csv { train, test, header, skip_lines, response, classes, ignore, range, ranges } => {
            let mut settings = Csv {
                header: *header,
                skip_lines: *skip_lines,
                response: Some(response.clone()),
                ignored: ignore.clone(),
                ..Csv::default()
            };
            let table = csv::open(train, &settings)?;
            // The test set has the same columns in the same order.
            settings.features = Some(table.names());
            if let Some(name) = ranges.keys().find(|name| !table.names().contains(name)) {
                let what = format!("data.ranges names `{name}`, which is not a feature");
                return Err(Error::file(train, what));
            }
            let scale = Scale { range: *range, ranges };
            let set = |table: &Table| from_table(table, classes, &scale);
            let test = test.as_ref().map(|test| set(&csv::open(test, &settings)?)).transpose()?;
            Ok((set(&table)?, test, Shape::Features(table.n_columns())))
        }
        Data::Idx { train, test, classes } => {
            let (set, size) = images(train, *classes)?;
            let test = test.as_ref().map(|test| images(test, *classes)).transpose()?;
            if let Some((_, other)) = test.as_ref().filter(|(_, other)| *other != size) {
                let what = format!("images are {size:?}, those of the test set {other:?}");
                return Err(Error::file(&train[0], what));
            }
            Ok((set, test.map(|(set, _)| set), Shape::Image(size.0, size.1)))
        }
        Data::Jsonl { train, test, text, label, classes, length } => {
            if *length == 0 {
                return Err(Error::file(train, "data.length must be at least 1"));
            }
            let rows = match model {
                Model::Bag { rows, .. } => Some(*rows),
                _ => None,
            };
            let set = |file: &Path| texts(file, (text, label), classes, *length, rows);
            let test = test.as_ref().map(|test| set(test)).transpose()?;
            Ok((set(train)?, test, Shape::Tokens(*length, rows.unwrap_or(BYTES))))
        }
    }
}

/// Public limits of features.
struct Scale<'a> {
    range: Option<[f64; 2]>,
    ranges: &'a BTreeMap<String, [f64; 2]>,
}

impl Scale<'_> {
    /// Brings a feature's limits to -1 and 1; what lies outside, to the nearest of them.
    fn apply(&self, file: &Path, name: &str, values: &mut [f64]) -> Result<()> {
        let Some([low, high]) = self.ranges.get(name).copied().or(self.range) else {
            return Ok(());
        };
        if !(low.is_finite() && high.is_finite() && low < high) {
            let what = format!(
                "the range of `{name}` must be two finite numbers in order, got [{low}, {high}]"
            );
            return Err(Error::file(file, what));
        }
        for x in values {
            *x = (2.0 * (*x - low) / (high - low) - 1.0).clamp(-1.0, 1.0);
        }
        Ok(())
    }
}

fn from_table(table: &Table, classes: &[String], scale: &Scale<'_>) -> Result<Set> {
    let (n, width) = (table.n_rows(), table.n_columns());
    let mut values = vec![0f32; n * width];
    for j in 0..width {
        let mut column = table.column(j);
        scale.apply(table.file(), &table.name(j), &mut column)?;
        #[allow(clippy::cast_possible_truncation, reason = "networks compute in single precision")]
        for (i, x) in column.into_iter().enumerate() {
            values[i * width + j] = x as f32;
        }
    }
    let response = table.response()?;
    let must = format!("one of data.classes: {}", classes.join(", "));
    let label = |(row, text): (usize, &String)| {
        class_of(text, classes).ok_or_else(|| Error::from(response.refused(row, &must)))
    };
    let labels = response.texts().iter().enumerate().map(label).collect::<Result<_>>()?;
    Ok(Set { inputs: Inputs::Features { values, width }, labels })
}

fn class_of(text: &str, classes: &[String]) -> Option<u32> {
    let at = classes.iter().position(|class| class == text.trim())?;
    u32::try_from(at).ok()
}

fn images([images, labels]: &[PathBuf; 2], classes: usize) -> Result<(Set, (usize, usize))> {
    let (pixels, marks) = (idx::open(images)?, idx::open(labels)?);
    let &[n, height, width] = pixels.dims() else {
        let what = format!("images have three dimensions, these have {:?}", pixels.dims());
        return Err(Error::file(images, what));
    };
    if marks.dims() != [n] {
        let what = format!("{n} images need {n} labels, these are {:?}", marks.dims());
        return Err(Error::file(labels, what));
    }
    if n == 0 || height == 0 || width == 0 {
        return Err(Error::file(images, format!("no images: {:?}", pixels.dims())));
    }
    if let Some(place) = marks.elements().iter().position(|mark| classes <= usize::from(*mark)) {
        let what = format!(
            "label {place}: must be below data.classes = {classes}, got {}",
            marks.elements()[place]
        );
        return Err(Error::file(labels, what));
    }
    let labels = marks.elements().iter().map(|mark| u32::from(*mark)).collect();
    let (_, bytes) = pixels.into_parts();
    let size = (height, width);
    Ok((Set { inputs: Inputs::Images { bytes, size }, labels }, size))
}

fn texts(
    file: &Path,
    (text, label): (&str, &str),
    classes: &[String],
    length: usize,
    rows: Option<usize>,
) -> Result<Set> {
    let lines = report::json_lines::read::<Map<String, Value>>(file)?;
    if let Some(torn) = lines.torn.first() {
        return Err(Error::file(file, format!("line {}: it is cut off", torn.line)));
    }
    if lines.values.is_empty() {
        return Err(Error::file(file, "there are no records"));
    }
    let (mut ids, mut labels) = (Vec::new(), Vec::new());
    for (i, record) in lines.values.iter().enumerate() {
        let refuse = |field: &str, must: &str| {
            let got = record.get(field).map_or("nothing".to_owned(), Value::to_string);
            let got: String = got.chars().take(60).collect();
            Error::file(file, format!("record {}: `{field}` must be {must}, got {got}", i + 1))
        };
        let words = record.get(text).and_then(Value::as_str);
        let words = words.ok_or_else(|| refuse(text, "a text"))?;
        let mut tokens = match rows {
            Some(rows) => hashed_words(words, rows),
            None => words.bytes().map(|byte| u32::from(byte) + 1).collect(),
        };
        tokens.resize(length, 0);
        ids.extend(tokens);
        let must = format!("one of data.classes: {}", classes.join(", "));
        let name = match record.get(label) {
            Some(Value::String(name)) => name.clone(),
            Some(other @ (Value::Number(_) | Value::Bool(_))) => other.to_string(),
            _ => return Err(refuse(label, &must)),
        };
        labels.push(class_of(&name, classes).ok_or_else(|| refuse(label, &must))?);
    }
    Ok(Set { inputs: Inputs::Tokens { ids, length }, labels })
}

/// Words in lower case, and pairs of neighbors, as rows of a table of so many; row 0 is padding. The rule is public: no word list is
/// read from the data.
fn hashed_words(text: &str, rows: usize) -> Vec<u32> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let pairs = words.windows(2).map(|pair| pair.join(" "));
    let row = |word: &String| {
        // FNV-1a: short, and the same on every machine.
        let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        let n = (rows as u64).saturating_sub(1).max(1);
        u32::try_from(1 + hash % n).unwrap_or(1)
    };
    let pairs: Vec<String> = pairs.collect();
    words.iter().chain(&pairs).map(row).collect()
}

impl Inputs {
    /// Each record as bytes.
    fn sorted(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = match self {
            Inputs::Features { values, width } => {
                let bytes = |row: &[f32]| row.iter().flat_map(|x| x.to_le_bytes()).collect();
                values.chunks((*width).max(1)).map(bytes).collect()
            }
            Inputs::Images { bytes, size: (height, width) } => {
                bytes.chunks((height * width).max(1)).map(<[u8]>::to_vec).collect()
            }
            Inputs::Tokens { ids, length } => {
                let bytes = |row: &[u32]| row.iter().flat_map(|id| id.to_le_bytes()).collect();
                ids.chunks((*length).max(1)).map(bytes).collect()
            }
        };
        all.sort_unstable();
        all
    }
}

impl Set {
    /// Number of records.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the inputs are those of another set, in whatever order.
    fn has_inputs_of(&self, other: &Set) -> bool {
        self.len() == other.len() && self.inputs.sorted() == other.inputs.sorted()
    }

    /// Two made-up records of this shape that are unlike each other: what is validated with.
    pub(super) fn made_up(shape: Shape) -> Set {
        let wave = |i: usize| ((i as f32 + 1.0) * 0.7).sin();
        let inputs = match shape {
            Shape::Features(width) => {
                Inputs::Features { values: (0..2 * width).map(wave).collect(), width }
            }
            Shape::Image(height, width) => Inputs::Images {
                bytes: (0..2 * height * width)
                    .map(|i| u8::try_from((i * 89 + i / 7) % 256).unwrap_or(0))
                    .collect(),
                size: (height, width),
            },
            Shape::Tokens(length, rows) => Inputs::Tokens {
                ids: (0..2 * length)
                    .map(|i| {
                        u32::try_from(1 + (i * 37 + i / 3) % rows.saturating_sub(1).max(1))
                            .unwrap_or(1)
                    })
                    .collect(),
                length,
            },
        };
        Set { inputs, labels: vec![0, 1] }
    }

    /// The records of these numbers.
    pub(super) fn batch(&self, records: &[usize]) -> Result<LabeledBatch> {
        let (n, device) = (records.len(), &Device::Cpu);
        let inputs = match &self.inputs {
            Inputs::Features { values, width } => {
                Tensor::from_vec(gather(values, *width, records), (n, *width), device)
            }
            Inputs::Images { bytes, size: (height, width) } => {
                let bytes = gather(bytes, height * width, records);
                // Brightness from -1 to 1: limits that are public.
                let values: Vec<f32> = bytes.iter().map(|b| f32::from(*b) / 127.5 - 1.0).collect();
                Tensor::from_vec(values, (n, *height, *width, 1), device)
            }
            Inputs::Tokens { ids, length } => {
                Tensor::from_vec(gather(ids, *length, records), (n, *length), device)
            }
        };
        let labels = Tensor::from_vec(gather(&self.labels, 1, records), n, device);
        let inputs = inputs.map_err(tape_nn::Error::from)?;
        Ok(LabeledBatch::new(inputs, labels.map_err(tape_nn::Error::from)?))
    }
}

fn gather<T: Copy>(values: &[T], width: usize, records: &[usize]) -> Vec<T> {
    records.iter().flat_map(|i| &values[i * width..(i + 1) * width]).copied().collect()
}
