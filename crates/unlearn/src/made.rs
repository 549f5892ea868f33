//! Sets in the manner of LUME, made from a seed: documents to forget, to keep and to hold out, and questions about what is kept.
//!
//! A made world has three tasks. Each document is one text, cut in two at a word near its middle (`sc1`), and questions about its
//! facts (`qa0`, ..), each with a paraphrase and three wrong answers of the same form.
//!
//! | task | document | questions |
//! | --- | --- | --- |
//! | `Task1` | a story of 6 to 8 sentences about two people in a city | one, for a person or the city |
//! | `Task2` | an invented person: birth date, Social Security number, phone, e-mail and home address | one for each |
//! | `Task3` | an invented person of public life: profession, prize, birthplace, spouse | one for each |
//!
//! No person is in two documents, and no number or address is there twice. Numbers cannot be anybody's: Social Security numbers begin
//! with 9 and have a group below 50, area codes have a 9 in the middle, ZIP codes are below 00500, e-mail is at example.com, and
//! cities are invented.
//!
//! In text a value stands as people write it (`March 4, 1975`), in answers without ornament (`1975-03-04`), as in LUME.

mod biography;
mod choice;
mod document;
mod draw;
mod people;
mod public;
mod story;
mod words;

use crate::error::{Error, Result};
use crate::multiple_choice::Questions;
use crate::row::Row;

use document::Document;
use draw::Draw;
use people::{Cast, N_NAMES};

/// Numbers of documents of the three tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerTask {
    /// Task1.
    pub stories: usize,
    /// Task2.
    pub biographies: usize,
    /// Task3.
    pub public: usize,
}

/// What a world is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// All of the world depends on it, and on nothing else but the other settings.
    pub seed: u64,
    /// Documents to forget; as many are kept.
    pub documents: PerTask,
    /// Documents that are in neither set, for membership inference: of the same kind as those to forget.
    pub holdout: PerTask,
    /// Whether the sets are entangled by their cities. If so, the first document to forget of a task and the first that is kept share
    /// a city, and so on; if not, forget and retain set have no city in common, and the holdout set has those of the forget set.
    pub shared_cities: bool,
}

impl Default for Settings {
    /// The miniature: 20 stories, 60 biographies and 100 public ones in each set, no cities shared, seed 0.
    fn default() -> Self {
        Settings {
            seed: 0,
            documents: PerTask { stories: 20, biographies: 60, public: 100 },
            holdout: PerTask { stories: 20, biographies: 40, public: 40 },
            shared_cities: false,
        }
    }
}

/// A made world. Rows come task by task and document by document.
///
/// # Examples
/// ```
/// use unlearn::made::{PerTask, Settings, World};
///
/// let documents = PerTask { stories: 1, biographies: 2, public: 1 };
/// let world = World::new(Settings { documents, ..Settings::default() })?;
/// assert_eq!(world.forget.len(), 2 + 2 * 6 + 5);
/// for (name, text) in world.files() {
///     println!("{name}: {} lines", text.lines().count());
/// }
/// # Ok::<(), unlearn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// To be forgotten.
    pub forget: Vec<Row>,
    /// To be kept.
    pub retain: Vec<Row>,
    /// Never to be trained on; may be empty.
    pub holdout: Vec<Row>,
    /// One for each document that is kept, in the words of the paraphrases, with answers of other such documents beside the right one.
    pub questions: Questions,
}

/// The parts of a world, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Forget,
    Retain,
    Holdout,
}

const PARTS: [Part; 3] = [Part::Forget, Part::Retain, Part::Holdout];

impl World {
    /// Makes a world. It is the same on every machine; that it is the same in every version is promised by a test.
    ///
    /// # Errors
    /// [`Error::Empty`] without documents to forget and keep, [`Error::OutOfRange`] if they need more names than there are.
    pub fn new(settings: Settings) -> Result<Self> {
        let Settings { seed, documents, holdout, shared_cities } = settings;
        if documents.n() == 0 {
            return Err(Error::Empty { what: "documents" });
        }
        let n_people = documents.n_people().saturating_mul(2).saturating_add(holdout.n_people());
        if N_NAMES - SPARE_NAMES < n_people {
            let must = "at most 9540, so that no two share a name";
            return Err(Error::OutOfRange { name: "number of people", must, got: n_people as f64 });
        }
        let mut draw = Draw::new(seed);
        let mut cast = Cast::new(&mut draw, n_people, shared_cities);
        let mut sets = [const { Vec::new() }; 3];
        for part in PARTS {
            let counts = if part == Part::Holdout { holdout } else { documents };
            let set: &mut Vec<Document> = &mut sets[part as usize];
            for at in 0..counts.stories {
                set.push(story::document(&mut draw, &mut cast, part, at));
            }
            for at in 0..counts.biographies {
                set.push(biography::document(&mut draw, &mut cast, part, at));
            }
            for at in 0..counts.public {
                set.push(public::document(&mut draw, &mut cast, part, at));
            }
        }
        let [forget, retain, holdout] = sets;
        let questions = choice::questions(&mut draw, seed, &retain)?;
        let rows = |set: Vec<Document>| set.iter().flat_map(Document::rows).collect();
        Ok(World { forget: rows(forget), retain: rows(retain), holdout: rows(holdout), questions })
    }

    /// Names of files and their texts, for the caller to write: `forget.jsonl`, `retain.jsonl`, `holdout.jsonl` if there is one, which
    /// [`data::rows`](crate::data::rows) reads, and `questions.jsonl`, which [`data::questions`](crate::data::questions) does.
    ///
    /// The first three have the fields of LUME and, beyond them, our own fields for paraphrases and wrong answers.
    #[must_use]
    pub fn files(&self) -> Vec<(String, String)> {
        let World { forget, retain, holdout, questions } = self;
        let mut files = Vec::new();
        for (name, rows) in [("forget", forget), ("retain", retain), ("holdout", holdout)] {
            if !rows.is_empty() {
                let text = rows.iter().map(|row| row.to_line() + "\n").collect();
                files.push((format!("{name}.jsonl"), text));
            }
        }
        files.push(("questions.jsonl".to_string(), questions.to_text()));
        files
    }
}

/// Names that no document has, for wrong answers.
const SPARE_NAMES: usize = 60;

impl PerTask {
    fn n(self) -> usize {
        self.stories.saturating_add(self.biographies).saturating_add(self.public)
    }

    /// A story has two people, a public biography one and a spouse.
    fn n_people(self) -> usize {
        let pairs = self.stories.saturating_add(self.public);
        pairs.saturating_mul(2).saturating_add(self.biographies)
    }
}
