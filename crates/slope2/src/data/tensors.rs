//! Tables as safetensors: `x` with a row for each observation, and `y` with its response if there is one.

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::error::{Error, Result};
use super::file;
use super::labels::Labels;
use super::table::{Features, Names, Table, numbered};

/// Reads and parses a file.
///
/// # Errors
/// As [`parse`]; [`Error::Read`] from the operating system.
pub fn open(path: &Path) -> Result<Table> {
    parse(&file::read(path)?, path)
}

/// Parses the bytes of a file, plain or gzip-compressed; `file` names them in errors. Columns are named `x1`, `x2`, ..., and
/// the response is named `y`. A file without `y` gives a table without a response.
///
/// # Errors
/// [`Error::Tensor`] unless `x` is a matrix and `y`, if it is there, a vector of as many entries as `x` has rows, both of
/// floating-point numbers or whole ones; [`Error::Cell`] for an entry that is not finite, by its row; [`Error::Empty`] for no rows;
/// [`Error::Gzip`] and [`Error::TooLarge`].
pub fn parse(bytes: &[u8], file: &Path) -> Result<Table> {
    let content = file::content(bytes, file, file::LIMIT_BYTES)?;
    let refused = |tensor: &'static str, must: &str, got: String| Error::Tensor {
        file: file.to_owned(),
        tensor,
        must: must.to_owned(),
        got,
    };
    let all = SafeTensors::deserialize(&content)
        .map_err(|e| refused("x", "a file of safetensors", e.to_string()))?;
    let tensor = |name: &'static str, must: &str| {
        let view = all.tensor(name).map_err(|e| refused(name, must, e.to_string()))?;
        let kind = format!("{:?} of shape {:?}", view.dtype(), view.shape());
        let numbers = numbers(&view).ok_or_else(|| refused(name, must, kind.clone()))?;
        Ok((view.shape().to_vec(), numbers, kind))
    };
    let must = "a matrix of numbers, a row for each observation";
    let (shape, rows, kind) = tensor("x", must)?;
    let [n, p] = shape[..] else { return Err(refused("x", must, kind)) };
    if n == 0 {
        return Err(Error::Empty { file: file.to_owned() });
    }
    let y = if all.names().contains(&"y") {
        let must = format!("a vector of {n} numbers, one for each row of `x`");
        let (shape, y, kind) = tensor("y", &must)?;
        if shape != [n] {
            return Err(refused("y", &must, kind));
        }
        Some(y)
    } else {
        None
    };
    if let Some(at) = rows.iter().position(|x| !x.is_finite()) {
        return Err(Error::Cell {
            file: file.to_owned(),
            line: (at / p) as u64 + 1,
            column: numbered(at % p),
            must: "a finite number".into(),
            got: rows[at].to_string(),
        });
    }
    let mut columns = vec![0.0; n * p];
    for (i, row) in rows.chunks_exact(p.max(1)).enumerate() {
        row.iter().enumerate().for_each(|(j, x)| columns[j * n + i] = *x);
    }
    let response = y.map(|y| Labels {
        file: file.to_owned(),
        name: "y".to_owned(),
        texts: y.iter().map(ToString::to_string).collect(),
        lines: (1..=n as u64).collect(),
    });
    Ok(Table {
        file: file.to_owned(),
        names: Names::Numbered(p),
        n_rows: n,
        features: Features::Dense(columns),
        response,
        weights: None,
        groups: None,
        left_out: Vec::new(),
    })
}

/// The entries, if they are numbers of a kind that is read.
fn numbers(view: &TensorView<'_>) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect()
    }
    let bytes = view.data();
    Some(match view.dtype() {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        Dtype::I32 => each(bytes, |b| f64::from(i32::from_le_bytes(b))),
        Dtype::U8 => each(bytes, |[b]| f64::from(b)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(x: &TensorView<'_>, y: &TensorView<'_>) -> Vec<u8> {
        safetensors::serialize([("x", x), ("y", y)], None).unwrap()
    }

    fn bytes(values: &[f64]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn rows_become_columns() {
        let (x, y) = (bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), bytes(&[0.0, 1.0]));
        let x = TensorView::new(Dtype::F64, vec![2, 3], &x).unwrap();
        let y = TensorView::new(Dtype::F64, vec![2], &y).unwrap();
        let table = parse(&file_of(&x, &y), Path::new("t")).unwrap();
        let mut out = vec![0.0; 2];
        table.design().unwrap().apply(&[1.0, 10.0, 100.0], &mut out);
        assert_eq!((out, table.n_columns()), (vec![321.0, 654.0], 3));
        assert_eq!(table.response().unwrap().texts(), ["0", "1"]);
    }

    #[test]
    fn rows_need_no_response() {
        let x = bytes(&[1.0, 2.0]);
        let x = TensorView::new(Dtype::F64, vec![2, 1], &x).unwrap();
        let file = safetensors::serialize([("x", &x)], None).unwrap();
        let table = parse(&file, Path::new("t")).unwrap();
        assert_eq!((table.n_rows(), table.n_columns()), (2, 1));
        let none = table.response().unwrap_err().to_string();
        assert_eq!(none, "t: no response was chosen");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (three, nan) = (bytes(&[1.0, 2.0, 3.0]), bytes(&[1.0, f64::NAN, 3.0]));
        let of = |data, shape: &[usize]| TensorView::new(Dtype::F64, shape.to_vec(), data).unwrap();
        let error = |x, y| parse(&file_of(&x, &y), Path::new("t")).unwrap_err().to_string();
        let one = error(of(&three, &[3]), of(&three, &[3]));
        assert_eq!(
            one,
            "t, tensor `x`: expected a matrix of numbers, a row for each observation, got F64 of shape [3]"
        );
        let short = error(of(&three, &[1, 3]), of(&three, &[3]));
        assert!(short.contains("tensor `y`: expected a vector of 1 numbers"), "{short}");
        let missing = error(of(&nan, &[3, 1]), of(&three, &[3]));
        assert_eq!(missing, "t, line 2, column `x1`: expected a finite number, got `NaN`");
        let none = parse(b"x", Path::new("t")).unwrap_err().to_string();
        assert!(none.starts_with("t, tensor `x`: expected a file of safetensors, got "), "{none}");
    }
}
