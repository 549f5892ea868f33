//! Damaged files: each reader gives a table or an error that names the file, and never panics.

use std::io::Write;
use std::path::Path;

use report::damage::Dice;
use slope2::data::{Csv, Delimiter, Error, Result, SvmLight, Table, csv, svmlight, tensors};

/// One reader and well-formed inputs for it.
struct Reader {
    read: fn(&[u8]) -> Result<Table>,
    inputs: fn() -> Vec<Vec<u8>>,
}

fn named() -> Csv {
    Csv {
        response: Some("y".into()),
        weights: Some("w".into()),
        groups: Some("g".into()),
        ..Csv::default()
    }
}

const CSV: Reader = Reader {
    read: |bytes| csv::parse(bytes, Path::new("damaged"), &named()),
    inputs: || {
        vec![
            b"a,b,y,w,g\n1,2,yes,1,u\n3,4e0,no,2,v\n-5,6,yes,0.5,u\n".to_vec(),
            b"\xef\xbb\xbfy,\"b, c\",w,g,d\r\n1, 2,1,\"x\",7\r\n\r\n2,3,1,y,8\r\n".to_vec(),
        ]
    },
};

const WORDS: Reader = Reader {
    read: |bytes| {
        let (delimiter, response) = (Delimiter::Whitespace, Some("1".to_owned()));
        let settings = Csv { delimiter, header: false, skip_lines: 1, response, ..Csv::default() };
        csv::parse(bytes, Path::new("damaged"), &settings)
    },
    inputs: || vec![b"2 3 head\n 1  2\t3\n4 5 6\n\n7 8 9".to_vec()],
};

const SVMLIGHT: Reader = Reader {
    // A bound keeps an index of nine digits from asking for as many columns.
    read: |bytes| {
        let settings = SvmLight { n_columns: Some(1000), ..SvmLight::default() };
        svmlight::parse(bytes, Path::new("damaged"), &settings)
    },
    inputs: || {
        vec![
            b"# head\n+1 1:0.5 3:2 # one\n-1 qid:7 2:1e-3 1000:4\n".to_vec(),
            b"1 qid:1 1:1\r\n0 qid:2 2:1\r\n".to_vec(),
        ]
    },
};

const TENSORS: Reader = Reader {
    read: |bytes| tensors::parse(bytes, Path::new("damaged")),
    inputs: || {
        let header = concat!(
            r#"{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"#,
            r#""y":{"dtype":"U8","shape":[2],"data_offsets":[24,26]}}"#
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend((1..=6u8).flat_map(|i| f32::from(i).to_le_bytes()));
        bytes.extend([0, 1]);
        vec![bytes]
    },
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The promises of a table.
fn check(table: &Table) {
    let (n, p) = (table.n_rows(), table.n_columns());
    assert!(0 < n && table.names().len() == p);
    let design = table.design().unwrap();
    assert_eq!((design.n_rows(), design.n_cols()), (n, p));
    let mut out = vec![0.0; n];
    design.apply(&vec![0.0; p], &mut out);
    // A damaged name of the response leaves a table without one.
    if let Ok(response) = table.response() {
        assert_eq!(response.texts().len(), n);
        let _ = response.numbers("a number", |_| true);
        if let Ok(classes) = response.classes() {
            assert!(classes.of_rows.iter().all(|class| *class < classes.names.len()));
        }
    }
    assert!(table.weights().is_none_or(|w| w.iter().all(|w| w.is_finite() && 0.0 <= *w)));
    assert!(table.groups().is_none_or(|groups| groups.len() == n));
    assert!(table.constant_columns().len() <= p);
    assert_eq!(
        table.clone().widened_to(p + 3).names().len(),
        p + 3 * usize::from(table.is_sparse())
    );
}

impl Reader {
    fn takes(&self, bytes: &[u8]) -> bool {
        match (self.read)(bytes) {
            Ok(table) => {
                check(&table);
                true
            }
            Err(error) => {
                assert!(!matches!(error, Error::Read { .. }), "{error}");
                assert!(error.to_string().starts_with("damaged"), "{error}");
                false
            }
        }
    }

    fn survives(&self, n_mutations: u64) {
        let inputs = (self.inputs)();
        assert!(inputs.iter().all(|input| self.takes(input) && self.takes(&gzip(input))));
        let (mut n_taken, mut n_refused) = (0, 0);
        for seed in 0..n_mutations {
            let mut dice = Dice::new(seed);
            let input = &inputs[dice.below(inputs.len())];
            let bytes = match dice.below(6) {
                0 => dice.damaged(&gzip(input)),
                1 => gzip(&dice.damaged(input)),
                _ => dice.damaged(input),
            };
            if self.takes(&bytes) {
                n_taken += 1;
            } else {
                n_refused += 1;
            }
        }
        assert!(n_mutations / 1000 < n_taken, "{n_taken} taken");
        assert!(n_mutations / 10 < n_refused, "{n_refused} refused");
    }
}

#[test]
fn readers_survive_damage() {
    for reader in [CSV, WORDS, SVMLIGHT, TENSORS] {
        reader.survives(1_000);
    }
}

#[test]
#[ignore = "heavy: 100,000 mutations of each format"]
fn readers_survive_100_000_mutations() {
    for reader in [CSV, WORDS, SVMLIGHT, TENSORS] {
        reader.survives(100_000);
    }
}

#[test]
fn every_cut_of_a_gzip_stream_is_refused() {
    for reader in [CSV, SVMLIGHT, TENSORS] {
        for input in (reader.inputs)() {
            let packed = gzip(&input);
            assert!((0..packed.len()).all(|length| !reader.takes(&packed[..length])));
        }
    }
}
