//! Tests of reading and writing safetensors.

#![allow(clippy::float_cmp, reason = "values that are copied, not computed")]

use super::*;
use crate::load::mutation::survive;

fn tree() -> Tree {
    let key = tensor_tree::Key::from_seed(1);
    let leaf = |dims: &[usize], dtype| {
        key.normal_like(&Tensor::zeros(dims, dtype, &Device::Cpu).unwrap()).unwrap()
    };
    Tree::from_leaves([
        ("a.weight", leaf(&[3, 4], DType::F32)),
        ("b.weight", leaf(&[2, 2, 2], DType::F64)),
        ("c", leaf(&[5], DType::F32).to_dtype(DType::BF16).unwrap()),
        ("d", leaf(&[6], DType::F32).to_dtype(DType::F16).unwrap()),
    ])
    .unwrap()
}

fn assert_equal(a: &Tree, b: &Tree) {
    a.check_like(b).unwrap();
    let error = a.to_dtype(DType::F64).unwrap();
    let error = error.add_scaled(-1.0, &b.to_dtype(DType::F64).unwrap()).unwrap();
    assert_eq!(error.norm().unwrap(), 0.0);
}

#[test]
fn a_tree_comes_back_from_its_bytes_in_any_type() {
    let tree = tree();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = to_bytes(&tree, &metadata).unwrap();
    let back = from_bytes(&bytes, DType::F64, &Device::Cpu).unwrap();
    assert_equal(&tree, &back.tree);
    assert!(back.tree.iter().all(|(_, leaf)| leaf.dtype() == DType::F64));
    assert_eq!(back.metadata, metadata);
    let single = from_bytes(&bytes, DType::F32, &Device::Cpu).unwrap();
    assert_equal(&tree.to_dtype(DType::F32).unwrap(), &single.tree);
}

#[test]
fn bytes_do_not_depend_on_a_hash() {
    let metadata: BTreeMap<String, String> =
        (0..20).map(|i| (format!("k{i}"), "v".to_owned())).collect();
    let first = to_bytes(&tree(), &metadata).unwrap();
    for _ in 0..4 {
        assert!(to_bytes(&tree(), &metadata).unwrap() == first);
    }
}

#[test]
fn the_library_reads_what_we_write() {
    let metadata = BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2\n".into())]);
    let bytes = to_bytes(&tree(), &metadata).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap().len(), 2);
    let theirs = SafeTensors::deserialize(&bytes).unwrap();
    let a = theirs.tensor("a.weight").unwrap();
    assert_eq!((a.shape(), a.dtype()), (&[3, 4][..], Dtype::F32));
    let named = Tree::from_leaves([(METADATA, Tensor::ones(1, DType::F32, &Device::Cpu).unwrap())]);
    let named = named.unwrap();
    for metadata in [metadata, BTreeMap::new()] {
        let error = to_bytes(&named, &metadata).unwrap_err();
        assert!(matches!(&error, Error::Load { .. }) && error.to_string().contains(METADATA));
    }
}

#[test]
fn tensors_that_are_no_parameters_are_named() {
    let ids = Tensor::arange(0u32, 4, &Device::Cpu).unwrap();
    let w = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
    let bytes = ::safetensors::serialize([("ids", ids.clone()), ("w", w)], None).unwrap();
    let weights = from_bytes(&bytes, DType::F32, &Device::Cpu).unwrap();
    assert_eq!((weights.tree.len(), weights.others), (1, vec!["ids".to_owned()]));
    let err = to_bytes(&Tree::from_leaves([("ids", ids)]).unwrap(), &BTreeMap::new());
    assert!(matches!(err, Err(Error::UnsupportedDType { .. })));
}

#[test]
fn folders_and_shards_are_read_and_must_agree_with_their_index() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = tree().partition(|n| n < "b.x");
    let none = BTreeMap::new();
    std::fs::write(dir.path().join("1.safetensors"), to_bytes(&first, &none).unwrap()).unwrap();
    std::fs::write(dir.path().join("2.safetensors"), to_bytes(&second, &none).unwrap()).unwrap();
    let index = dir.path().join("model.safetensors.index.json");
    let write = |entries: &[(&str, &str)]| {
        let map: BTreeMap<_, _> = entries.iter().copied().collect();
        let text = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map });
        std::fs::write(&index, text.to_string()).unwrap();
    };
    let good = [
        ("a.weight", "1.safetensors"),
        ("b.weight", "1.safetensors"),
        ("c", "2.safetensors"),
        ("d", "2.safetensors"),
    ];
    write(&good);
    assert_equal(&tree(), &read(dir.path(), DType::F64, &Device::Cpu).unwrap().tree);
    let refused = |entries: &[(&str, &str)], words: &str| {
        write(entries);
        let err = read(&index, DType::F32, &Device::Cpu).unwrap_err();
        assert!(matches!(&err, Error::Load { path: Some(_), .. }), "{err}");
        assert!(err.to_string().contains(words), "{err}");
    };
    refused(&good[..3], "`d` lies in `2.safetensors`, but the index says in `no file`");
    let mut bad = good.to_vec();
    bad.push(("e", "2.safetensors"));
    refused(&bad, "`e` is not in `2.safetensors`");
    bad[4] = ("e", "../2.safetensors");
    refused(&bad, "is not the name of a safetensors file beside it");
    bad[4] = ("e", "/etc/passwd");
    refused(&bad, "is not the name of a safetensors file beside it");
    refused(&[], "names no tensor");
    let whole = dir.path().join("model.safetensors");
    std::fs::write(&whole, to_bytes(&first, &none).unwrap()).unwrap();
    assert_equal(&first, &read(dir.path(), DType::F64, &Device::Cpu).unwrap().tree);
}

#[test]
fn a_file_that_is_missing_or_cut_says_which() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("none.safetensors")] {
        let err = read(&path, DType::F32, &Device::Cpu).unwrap_err();
        assert!(err.to_string().contains(&path.display().to_string()), "{err}");
    }
    let bytes = to_bytes(&tree(), &BTreeMap::new()).unwrap();
    for len in 0..bytes.len() {
        let result = from_bytes(&bytes[..len], DType::F32, &Device::Cpu);
        assert!(matches!(result, Err(Error::Load { .. })), "{len} bytes");
    }
}

fn damaged_files(n: u64) {
    let bytes = to_bytes(&tree(), &BTreeMap::from([("k".into(), "v".into())])).unwrap();
    let refused = survive(&bytes, n, |b| from_bytes(b, DType::F32, &Device::Cpu).is_ok());
    assert!(n / 2 < refused, "{refused} of {n} refused");
    let index = br#"{"metadata":{},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#;
    survive(index, n, |b| weight_map(b).is_ok());
}

#[test]
fn damaged_files_give_errors() {
    damaged_files(2_000);
}

#[test]
#[ignore = "heavy: 100,000 mutations"]
fn many_damaged_files_give_errors() {
    damaged_files(100_000);
}
