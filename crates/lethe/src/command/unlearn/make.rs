//! `lethe unlearn make`: sets in the manner of LUME, from a seed.

use std::path::PathBuf;

use clap::Args;
use report::table::Table;
use unlearn::made::{PerTask, Settings, World};

use super::folder;
use crate::command::Outcome;
use crate::command::write::Folder;
use crate::error::Result;

/// Flags of `lethe unlearn make`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Folder for forget.jsonl, retain.jsonl, holdout.jsonl and questions.jsonl; it must be empty.
    out: PathBuf,
    /// All of the sets depends on it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Stories to forget, and as many to keep (Task1).
    #[arg(long, value_name = "N", default_value_t = 20)]
    stories: usize,
    /// Biographies of invented people with private data to forget, and as many to keep (Task2).
    #[arg(long, value_name = "N", default_value_t = 60)]
    biographies: usize,
    /// Biographies of invented people of public life to forget, and as many to keep (Task3).
    #[arg(long, value_name = "N", default_value_t = 100)]
    public: usize,
    /// Entangles what is forgotten and what is kept: both are set in the same cities.
    #[arg(long)]
    shared_cities: bool,
}

impl Flags {
    pub(super) fn outcome(&self) -> Result<Outcome> {
        folder::empty(&self.out)?;
        let documents =
            PerTask { stories: self.stories, biographies: self.biographies, public: self.public };
        // As many as by default, but not more than are forgotten.
        let most = Settings::default().holdout;
        let holdout = PerTask {
            stories: self.stories.min(most.stories),
            biographies: self.biographies.min(most.biographies),
            public: self.public.min(most.public),
        };
        let (seed, shared_cities) = (self.seed, self.shared_cities);
        let world = World::new(Settings { seed, documents, holdout, shared_cities })?;
        let mut table = Table::new(["set", "rows", "documents", "what it is for"]);
        for (name, rows, what) in [
            ("forget", &world.forget, "to be learned first and forgotten then"),
            ("retain", &world.retain, "to be learned and kept"),
            ("holdout", &world.holdout, "never to be learned: for membership inference"),
        ] {
            let mut documents: Vec<&str> = rows.iter().map(|row| row.document()).collect();
            documents.dedup();
            let counts = [rows.len(), documents.len()].map(|n| n.to_string());
            let [n_rows, n_documents] = counts;
            table.push_row([name.to_owned(), n_rows, n_documents, what.to_owned()]);
        }
        let n_questions = world.questions.items().len().to_string();
        let what = "multiple-choice questions about what is kept";
        table.push_row(["questions", &n_questions, "", what]);
        let mut out = Folder::named(self.out.clone());
        for (name, text) in world.files() {
            out.add(&name, text);
        }
        let (written, files) = out.finish();
        let stdout = format!("{}\n{written}", table.to_terminal(None));
        Ok(Outcome { stdout, files, ..Outcome::default() })
    }
}
