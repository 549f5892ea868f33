//! Tests of saving and loading.

use candle_core::{DType, Device};
use proptest::prelude::*;

use super::*;
use crate::{AdamW, Transform};

fn state() -> State {
    let key = crate::Key::from_seed(3);
    let zero = Tensor::zeros((3, 4), DType::F32, &Device::Cpu).unwrap();
    let params =
        Tree::from_leaves([("a.weight", key.normal_like(&zero).unwrap()), ("b", zero)]).unwrap();
    let adam = AdamW::default();
    let mut memory = adam.init(&params).unwrap();
    adam.update(params.clone(), &params, &mut memory).unwrap();
    let mut out = StateWriter::new();
    out.part("optimizer", &memory).unwrap();
    out.tree("params", &params).unwrap();
    out.tree("nothing", &Tree::new()).unwrap();
    out.number("rate", f64::NAN).unwrap();
    out.text("name", "t \"quoted\"\n").unwrap();
    out.finish()
}

fn header() -> Header {
    Header { kind: "tensor-tree/test".into(), config: "abc".into() }
}

#[test]
fn what_is_saved_comes_back_exactly() {
    let bytes = to_bytes(&header(), &state()).unwrap();
    let back = from_bytes(&bytes, &header()).unwrap();
    let mut from = StateReader::new(&back);
    let memory: crate::AdamWState = from.part("optimizer").unwrap();
    assert_eq!(memory.step, 1);
    let params = from.tree("params").unwrap();
    let mut original = StateReader::new(&back);
    assert_eq!(
        original.tree("params").unwrap().dot(&params).unwrap(),
        params.dot(&params).unwrap()
    );
    assert!(from.tree("nothing").unwrap().is_empty());
    assert!(from.number("rate").unwrap().is_nan());
    assert_eq!(from.text("name").unwrap(), "t \"quoted\"\n");
    assert!(matches!(from.count("rate"), Err(Error::Checkpoint { .. })));
    assert!(matches!(from.tree("nowhere"), Err(Error::Checkpoint { .. })));
}

#[test]
fn every_type_of_tensor_comes_back_exactly() {
    let numbers = Tensor::new(&[1.5f32, -0.25, 3.0, 100.0, 0.0], &Device::Cpu).unwrap();
    for dtype in
        [DType::F16, DType::BF16, DType::F32, DType::F64, DType::U32, DType::I64, DType::U8]
    {
        // Unsigned types take no negative numbers.
        let kept = if dtype.is_float() { numbers.clone() } else { numbers.abs().unwrap() };
        let tensor = kept.to_dtype(dtype).unwrap().reshape((5, 1)).unwrap();
        let mut out = StateWriter::new();
        out.tensor("t", &tensor).unwrap();
        let bytes = to_bytes(&header(), &out.finish()).unwrap();
        let back = from_bytes(&bytes, &header()).unwrap();
        let back = StateReader::new(&back).tensor("t").unwrap();
        assert_eq!((back.dtype(), back.dims()), (dtype, &[5, 1][..]));
        let values = |t: &Tensor| {
            t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
        };
        assert_eq!(values(&back), values(&tensor), "{dtype:?}");
    }
}

#[test]
fn another_kind_or_configuration_is_refused_by_name() {
    let bytes = to_bytes(&header(), &state()).unwrap();
    for (kind, config, word) in [("other", "abc", "kind"), ("tensor-tree/test", "abd", "config")] {
        let error = from_bytes(&bytes, &Header { kind: kind.into(), config: config.into() });
        assert!(error.unwrap_err().to_string().contains(word));
    }
}

#[test]
fn every_truncation_and_every_flipped_byte_is_an_error() {
    let bytes = to_bytes(&header(), &state()).unwrap();
    for len in 0..bytes.len() {
        assert!(from_bytes(&bytes[..len], &header()).is_err(), "cut at {len}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        if let Ok(state) = from_bytes(&damaged, &header()) {
            // Only blanks of the JSON header may change without changing the content.
            assert_eq!(to_bytes(&header(), &state).unwrap().len(), bytes.len(), "flip at {at}");
            assert!(at < 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize);
        }
    }
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    write(&path, &header(), &state()).unwrap();
    let missing = folder.path().join("no/such/folder/a.safetensors");
    assert!(write(&missing, &header(), &state()).is_err());
    assert!(read(&path, &header()).is_ok());
    let error = read(&missing, &header()).unwrap_err();
    assert!(error.to_string().contains("a.safetensors"), "{error}");
}

#[test]
fn a_name_written_twice_is_an_error() {
    let mut out = StateWriter::new();
    out.count("n", 1).unwrap();
    assert!(out.number("n", 1.0).is_err());
}

/// Changes that a damaged disk or a careless editor makes.
fn mutate(bytes: &[u8], key: crate::Key) -> Vec<u8> {
    use rand::Rng;
    let mut rng = key.rng();
    let mut out = bytes.to_vec();
    for _ in 0..1 + rng.next_u32() % 8 {
        let at = rng.next_u32() as usize % out.len().max(1);
        match rng.next_u32() % 4 {
            0 => out.truncate(at),
            1 if at < out.len() => out[at] = rng.next_u32() as u8,
            2 if at < out.len() => out[at] ^= 1 << (rng.next_u32() % 8),
            _ => out.insert(at.min(out.len()), rng.next_u32() as u8),
        }
        if out.is_empty() {
            break;
        }
    }
    out
}

fn survive(n: u64) {
    let bytes = to_bytes(&header(), &state()).unwrap();
    for i in 0..n {
        let key = crate::Key::from_seed(99).child(crate::Label::Sample(i));
        let _ = from_bytes(&mutate(&bytes, key), &header());
    }
}

#[test]
fn mutated_checkpoints_never_panic() {
    survive(2_000);
}

#[test]
#[ignore = "heavy: 100,000 mutations"]
fn a_hundred_thousand_mutated_checkpoints_never_panic() {
    survive(100_000);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(from_bytes(&bytes, &header()).is_err());
    }
}
