//! Tables from files: comma-separated values, svmlight and safetensors, plain or gzip-compressed, with errors that name the
//! line, the column and the text found there.
//!
//! A file is read whole, then parsed by a pure function of its bytes: [`csv::parse`], [`svmlight::parse`],
//! [`tensors::parse`]. Nothing is filled
//! in and nothing is guessed: a missing value, a number that is not finite and a row of another length are errors.
//!
//! # Examples
//! ```
//! use std::path::Path;
//! use slope2::data::{Csv, csv};
//!
//! let settings = Csv { response: Some("bought".into()), ..Csv::default() };
//! let table = csv::parse(b"age,income,bought\n31,2.5,no\n44,3.5,yes\n", Path::new("t.csv"), &settings)?;
//! assert_eq!((table.n_rows(), table.n_columns()), (2, 2));
//! let classes = table.response()?.classes()?;
//! assert_eq!((classes.names, classes.of_rows), (vec!["no".into(), "yes".into()], vec![0, 1]));
//! # Ok::<(), slope2::data::Error>(())
//! ```

pub mod csv;
mod error;
mod file;
mod labels;
pub mod svmlight;
mod table;
pub mod tensors;

pub use csv::{Csv, Delimiter};
pub use error::{Error, Result};
pub use labels::{Classes, Labels};
pub use svmlight::SvmLight;
pub use table::Table;
