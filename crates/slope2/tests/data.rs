//! Data for tests: drawn from a written seed, or read from the repository's fixtures.

use std::path::PathBuf;

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use slope2::{Design, Family};

use crate::cases::normal;

/// A design, columns one after the other, and a response.
pub(crate) struct Data {
    pub(crate) n: usize,
    pub(crate) p: usize,
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
}

impl Data {
    /// Correlated columns of different sizes, every third with a part in the response.
    pub(crate) fn draw(family: &dyn Family, n: usize, p: usize, seed: u64) -> Data {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut x = vec![0.0; n * p];
        for i in 0..n {
            let mut last = normal(&mut rng);
            for j in 0..p {
                last = 0.6 * last + 0.8 * normal(&mut rng);
                x[j * n + i] = (1.0 + j as f64) * last + 3.0;
            }
        }
        let y = (0..n)
            .map(|i| {
                let parts = (0..p).step_by(3).map(|j| (x[j * n + i] - 3.0) / (1.0 + j as f64));
                let eta: f64 = parts.sum();
                match family.name() {
                    "binomial" => f64::from(rng.random::<f64>() < family.mean(eta)),
                    "poisson" => (0.3 * eta).clamp(-2.0, 2.0).exp().round(),
                    _ => eta + 1.5 * normal(&mut rng),
                }
            })
            .collect();
        Data { n, p, x, y }
    }

    pub(crate) fn design(&self) -> Design<'_> {
        Design::from_columns(self.x.as_slice(), self.n, self.p).unwrap()
    }
}

/// The largest difference of two vectors.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn uci(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/data/uci-small")).join(name)
}

fn from_rows(rows: &[Vec<f64>], y: Vec<f64>) -> Data {
    let (n, p) = (rows.len(), rows[0].len());
    let x = (0..p).flat_map(|j| rows.iter().map(move |row| row[j])).collect();
    Data { n, p, x, y }
}

fn numbers(line: &str, between: impl Fn(char) -> bool) -> Vec<f64> {
    line.split(between).map(|entry| entry.trim().parse().unwrap()).collect()
}

fn unpacked(name: &str) -> String {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(uci(name)).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

/// Efron et al. 2004: 442 patients, 10 covariates on their raw scale, disease progression.
pub(crate) fn diabetes() -> Data {
    let rows: Vec<Vec<f64>> = unpacked("diabetes_data_raw.csv.gz")
        .lines()
        .map(|line| numbers(line, |c| c == ' '))
        .collect();
    let target = unpacked("diabetes_target.csv.gz");
    let y = target.lines().map(|line| line.trim().parse().unwrap());
    from_rows(&rows, y.collect())
}

/// 569 tumors, 30 features; the response is 1 where they are benign.
pub(crate) fn breast_cancer() -> Data {
    let text = std::fs::read_to_string(uci("breast_cancer.csv")).unwrap();
    let mut y = Vec::new();
    let rows: Vec<Vec<f64>> = text
        .lines()
        .skip(1)
        .map(|line| {
            let mut row = numbers(line, |c| c == ',');
            y.push(row.pop().unwrap());
            row
        })
        .collect();
    from_rows(&rows, y)
}
