//! `lethe unlearn`: from made sets to models that forgot them.

mod bad_input;
mod forms;
mod muse;
mod robust;
mod scores;
mod stops;
mod warnings;
mod whole;

use std::path::Path;
use std::sync::OnceLock;

use candle_core::{DType, Device};
use tape_nn::load::{self, Pretrained};

use crate::program::Place;

/// Flags that name both sets.
pub(crate) const SETS: &str = "--forget data/forget.jsonl --retain data/retain.jsonl";

/// Folders of the world that all tests of this module share: made sets, a model that knows both, and one that never saw the first.
const FOLDERS: [&str; 3] = ["data", "target", "gold"];

/// Names of files below a folder of its own, with their bytes.
type Files = Vec<(String, Vec<u8>)>;

fn world() -> &'static Files {
    static WORLD: OnceLock<Files> = OnceLock::new();
    WORLD.get_or_init(|| {
        let place = Place::new();
        place.runs("unlearn make data --stories 1 --biographies 1 --public 1 --seed 3");
        let new = "--new 64x1 --vocab 400 --rate 5e-3 --batch 13 --until 0.15 -q";
        let said = place.runs(&format!(
            "unlearn teach --rows data/forget.jsonl data/retain.jsonl {new} --out target"
        ));
        assert!(said.contains("the rows are known"), "{said}");
        place.runs(&format!(
            "unlearn teach --rows data/retain.jsonl --tokens-of data/forget.jsonl {new} --out gold"
        ));
        let mut files = Vec::new();
        for folder in FOLDERS {
            for name in crate::program::names(&place.path(folder)) {
                let name = format!("{folder}/{name}");
                let bytes = std::fs::read(place.path(&name)).unwrap();
                files.push((name, bytes));
            }
        }
        files
    })
}

/// A folder with a copy of the world.
pub(crate) fn place() -> Place {
    let place = Place::new();
    for folder in FOLDERS {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for (name, bytes) in world() {
        place.write(name, bytes);
    }
    place
}

/// The model of a folder.
pub(crate) fn model(folder: &Path) -> Pretrained {
    load::llama(folder, DType::F32, &Device::Cpu).unwrap()
}

/// How far two models of the same names are from each other: the norm of the difference.
pub(crate) fn distance(a: &Pretrained, b: &Pretrained) -> f64 {
    let names = |m: &Pretrained| m.params.names().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(a), names(b));
    a.params.add_scaled(-1.0, &b.params).unwrap().norm().unwrap()
}
