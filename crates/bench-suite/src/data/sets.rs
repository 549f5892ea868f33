//! The named data sets: what their files are called, their checksums, how they are joined.
//!
//! Files found in [`Places`] are compared with checksums; a folder that the caller names for one
//! set is read as it is.

use std::path::{Path, PathBuf};

use crate::{
    data::{
        cifar, csv, file, idx,
        images::{ImageFormat, ImageSet},
        pairs,
        places::{Places, remedy},
        text,
    },
    error::{Error, Result},
};

/// A named data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// 1,797 grey images of 8x8 with levels 0 to 16; no test part of its own.
    Digits,
    /// 10,000 grey images of 28x28, a sample of MNIST; no test part of its own.
    Mnist10k,
    /// 60,000 and 10,000 grey images of 28x28.
    FashionMnist,
    /// 1,500 and 412 colour images of 32x32: CIFAR's shape, small enough for tests.
    SignLanguage,
    /// 50,000 and 10,000 colour images of 32x32 in a folder that the user names.
    Cifar10 {
        /// The folder with the binary batches, see [`cifar`].
        folder: PathBuf,
    },
    /// 1.1 million characters of Shakespeare's plays.
    TinyShakespeare,
    /// 4,672 restaurants as slots with values, each described in a sentence: the development part of E2E.
    E2eDevelopment,
    /// 4,693 others: its test part.
    E2eTest,
    /// 5,574 text messages, a line each: `ham` or `spam`, a tabulator, the message.
    SmsSpam,
}

/// A set of images, with its test part where the set comes with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// The training part, or all images if there is no test part.
    pub train: ImageSet,
    /// The test part that belongs to the set.
    pub test: Option<ImageSet>,
}

impl Images {
    /// Training and test images: the set's own parts, or a shuffled split with `n_test` held out.
    ///
    /// Number and seed are used only if the set has no test part of its own.
    ///
    /// # Errors
    /// [`Error::Setting`] if a part would be empty.
    pub fn train_and_test(self, n_test: usize, seed: u64) -> Result<(ImageSet, ImageSet)> {
        if let Some(test) = self.test {
            return Ok((self.train, test));
        }
        let split = self.train.shuffled_split(n_test, seed)?;
        Ok((self.train.subset(&split.train)?, self.train.subset(&split.test)?))
    }
}

/// A file of a known set and its sha256.
struct KnownFile {
    name: &'static str,
    sha256: &'static str,
}

const DIGITS: KnownFile = KnownFile {
    name: "digits.csv.gz",
    sha256: "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
};
const MNIST_10K: [KnownFile; 2] = [
    KnownFile {
        name: "images-idx3-ubyte.gz",
        sha256: "49941b93149836f6b61a084d7dd8d8e691235382a1af71d775e12ad1bd7c97a3",
    },
    KnownFile {
        name: "labels-idx1-ubyte.gz",
        sha256: "0fe708880939233309d2a8dc2e207080403e86fe58ca74aae59309b580944abd",
    },
];
const FASHION_TRAIN: [KnownFile; 2] = [
    KnownFile {
        name: "train-images-idx3-ubyte.gz",
        sha256: "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    },
    KnownFile {
        name: "train-labels-idx1-ubyte.gz",
        sha256: "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    },
];
const FASHION_TEST: [KnownFile; 2] = [
    KnownFile {
        name: "t10k-images-idx3-ubyte.gz",
        sha256: "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    },
    KnownFile {
        name: "t10k-labels-idx1-ubyte.gz",
        sha256: "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
    },
];
const SIGNS_TRAIN: [KnownFile; 2] = [
    KnownFile {
        name: "train-images-idx4-ubyte.gz",
        sha256: "ee6882d30d32a433586aa8cb3bfa6c6dedb4ff852eebba6ad2869a44c100f840",
    },
    KnownFile {
        name: "train-labels-idx1-ubyte.gz",
        sha256: "15b8f6882aa70a2693ca27d4e006f23dd80202b290773b7faf3993d06b970683",
    },
];
const SIGNS_TEST: [KnownFile; 2] = [
    KnownFile {
        name: "test-images-idx4-ubyte.gz",
        sha256: "53da929987cc6312469061984aeb3e68aa0c52d3b515088c8240aaebbf746dec",
    },
    KnownFile {
        name: "test-labels-idx1-ubyte.gz",
        sha256: "258b69a1e7f39e86fe1959a6d56b7c1e9fe4aeb4d74ae565be9e1b237d740ddd",
    },
];
const SHAKESPEARE: KnownFile = KnownFile {
    name: "input.txt",
    sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
};

const E2E_DEVELOPMENT: KnownFile = KnownFile {
    name: "devset.csv.gz",
    sha256: "653bd8a2ddcc2a5900863db6541fa79cfee506abaee0fe29e960a9f5b84f932a",
};
const E2E_TEST: KnownFile = KnownFile {
    name: "testset_w_refs.csv.gz",
    sha256: "84044f80e92e28aa5acc5cfb74390a46f775abd29aef4589e9e2752bb84a9208",
};

const SMS: KnownFile = KnownFile {
    name: "sms.tsv.gz",
    sha256: "03ea761204ef0452667e3eb6c114883ae6cabc779e86d31d55daebb1acb709fd",
};

/// The 8x8 digits: one channel, sixteen levels above black.
const DIGITS_FORMAT: ImageFormat =
    ImageFormat { channels: 1, height: 8, width: 8, max_level: 16, n_classes: 10 };

impl Dataset {
    /// A short name for tables and plots.
    pub fn name(&self) -> &'static str {
        match self {
            Dataset::Digits => "digits",
            Dataset::Mnist10k => "mnist-10k",
            Dataset::FashionMnist => "fashion-mnist",
            Dataset::SignLanguage => "sign-language-digits-32",
            Dataset::Cifar10 { .. } => "cifar-10",
            Dataset::TinyShakespeare => "tiny-shakespeare",
            Dataset::E2eDevelopment => "e2e-nlg, development part",
            Dataset::E2eTest => "e2e-nlg, test part",
            Dataset::SmsSpam => "sms-spam",
        }
    }

    /// The set's images, with the checksum of each file compared.
    ///
    /// For CIFAR-10, which has no place of its own, this is [`Dataset::images_in`] its folder.
    ///
    /// # Errors
    /// [`Error::SetNotFound`] and [`Error::FileNotFound`] with what to do,
    /// [`Error::Checksum`] for another file, the errors of the parsers, and
    /// [`Error::WrongKind`] for a text.
    pub fn images(&self, places: &Places) -> Result<Images> {
        match self {
            Dataset::Cifar10 { folder } => self.images_in(folder),
            _ => self.read_images(|| self.found(places)),
        }
    }

    /// The set's images from files of the same names in a folder of the caller's, unverified.
    ///
    /// A name ending in `.gz` may lack that ending; sizes and numbers of images are free.
    ///
    /// # Errors
    /// As [`Dataset::images`], except for checksums.
    pub fn images_in(&self, folder: &Path) -> Result<Images> {
        self.read_images(|| Ok(self.given(folder)))
    }

    /// The set's text, with the checksum of its file compared. Of pairs each is a line, see [`pairs`].
    ///
    /// # Errors
    /// As [`Dataset::images`]; [`Error::WrongKind`] for images.
    pub fn text(&self, places: &Places) -> Result<String> {
        self.read_text(|| self.found(places))
    }

    /// The set's text from a file of the same name in a folder of the caller's, unverified.
    ///
    /// # Errors
    /// As [`Dataset::text`], except for checksums.
    pub fn text_in(&self, folder: &Path) -> Result<String> {
        self.read_text(|| Ok(self.given(folder)))
    }

    fn read_images(&self, files: impl FnOnce() -> Result<Folder>) -> Result<Images> {
        match self {
            Dataset::Digits => {
                let (path, bytes) = files()?.read(&DIGITS)?;
                let table = csv::parse(&bytes, &path, 0, file::LIMIT_BYTES)?;
                Ok(Images { train: ImageSet::from_table(&table, DIGITS_FORMAT)?, test: None })
            }
            Dataset::Mnist10k => Ok(Images { train: files()?.idx_pair(&MNIST_10K)?, test: None }),
            Dataset::FashionMnist => files()?.idx_pairs(&FASHION_TRAIN, &FASHION_TEST),
            Dataset::SignLanguage => files()?.idx_pairs(&SIGNS_TRAIN, &SIGNS_TEST),
            Dataset::Cifar10 { .. } => files()?.cifar(),
            Dataset::TinyShakespeare
            | Dataset::E2eDevelopment
            | Dataset::E2eTest
            | Dataset::SmsSpam => Err(Error::WrongKind { set: self.name(), wanted: "images" }),
        }
    }

    fn read_text(&self, files: impl FnOnce() -> Result<Folder>) -> Result<String> {
        let (known, is_pairs) = match self {
            Dataset::TinyShakespeare => (&SHAKESPEARE, false),
            Dataset::E2eDevelopment => (&E2E_DEVELOPMENT, true),
            Dataset::E2eTest => (&E2E_TEST, true),
            Dataset::SmsSpam => (&SMS, false),
            _ => return Err(Error::WrongKind { set: self.name(), wanted: "text" }),
        };
        let (path, bytes) = files()?.read(known)?;
        if is_pairs {
            return pairs::parse(&bytes, &path, file::LIMIT_BYTES);
        }
        text::parse(&bytes, &path, file::LIMIT_BYTES)
    }

    /// The folder name below a place.
    fn folder_name(&self) -> &'static str {
        match self {
            Dataset::Digits => "uci-small",
            Dataset::E2eDevelopment | Dataset::E2eTest => "e2e-nlg",
            _ => self.name(),
        }
    }

    fn found(&self, places: &Places) -> Result<Folder> {
        let set = self.folder_name();
        Ok(Folder { set, path: places.folder_of(set)?, verified: true })
    }

    fn given(&self, folder: &Path) -> Folder {
        Folder { set: self.folder_name(), path: folder.to_owned(), verified: false }
    }
}

/// The folder of one set, and whether its files must be the published ones.
struct Folder {
    set: &'static str,
    path: PathBuf,
    verified: bool,
}

impl Folder {
    fn read(&self, known: &KnownFile) -> Result<(PathBuf, Vec<u8>)> {
        let path = self.file(known.name)?;
        let bytes = if self.verified {
            file::read_verified(&path, known.sha256)?
        } else {
            file::read(&path)?
        };
        Ok((path, bytes))
    }

    /// The path of a file that is there.
    fn file(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        if path.is_file() {
            return Ok(path);
        }
        if !self.verified {
            let plain = self.path.join(name.trim_end_matches(".gz"));
            if plain.is_file() {
                return Ok(plain);
            }
        }
        let remedy = if self.verified {
            remedy(self.set)
        } else {
            "give the folder that holds the files of the set".to_owned()
        };
        Err(Error::FileNotFound { set: self.set.to_owned(), file: path, remedy })
    }

    fn idx_pair(&self, [images, labels]: &[KnownFile; 2]) -> Result<ImageSet> {
        let parse = |known| {
            let (path, bytes) = self.read(known)?;
            Ok::<_, Error>((idx::parse(&bytes, &path, file::LIMIT_BYTES)?, path))
        };
        // Labels first: they are small, so a missing or damaged one is reported at once.
        let (labels, _) = parse(labels)?;
        let (images, path) = parse(images)?;
        ImageSet::from_idx(images, labels, 10, &path)
    }

    fn idx_pairs(&self, train: &[KnownFile; 2], test: &[KnownFile; 2]) -> Result<Images> {
        let test = self.idx_pair(test)?;
        Ok(Images { train: self.idx_pair(train)?, test: Some(test) })
    }

    fn cifar(&self) -> Result<Images> {
        let test = cifar::open(&self.file(cifar::TEST_FILE)?)?;
        let [first, others @ ..] = cifar::TRAIN_FILES;
        let mut train = cifar::open(&self.file(first)?)?;
        for name in others {
            let path = self.file(name)?;
            train.append(cifar::open(&path)?, &path)?;
        }
        Ok(Images { train, test: Some(test) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_set_says_how_to_get_it_and_where_it_was_sought() {
        let error = Dataset::FashionMnist.images(&Places::at("nowhere")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "data set `fashion-mnist` not found; looked in `nowhere/fashion-mnist`; \
             run `cargo xtask data fashion-mnist`"
        );
    }

    #[test]
    fn a_text_has_no_images_and_images_no_text() {
        let places = Places::at("nowhere");
        assert_eq!(
            Dataset::TinyShakespeare.images(&places).unwrap_err().to_string(),
            "data set `tiny-shakespeare` holds no images"
        );
        assert_eq!(
            Dataset::Digits.text(&places).unwrap_err().to_string(),
            "data set `digits` holds no text"
        );
    }
}
