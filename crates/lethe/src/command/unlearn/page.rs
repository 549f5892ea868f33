//! One page with everything about a run or exams.

use report::html::{Page, Section};

use super::examples::{self, Set};
use super::numbers::{Named, Numbers};
use crate::command::write::Picture;

/// What a page shows.
pub(super) struct Contents<'a> {
    pub(super) title: &'a str,
    /// What was done, in names and values.
    pub(super) lines: &'a [(String, String)],
    /// What the reader must know first.
    pub(super) warnings: &'a [String],
    pub(super) models: &'a [Named<'a>],
    pub(super) numbers: Option<&'a Numbers>,
    pub(super) pareto: Option<&'a Picture>,
    pub(super) trajectory: &'a [Picture],
}

/// The page as HTML.
pub(super) fn html(contents: &Contents<'_>) -> String {
    let lines = contents.lines.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let mut page = Page::new(contents.title).key_values(lines);
    if !contents.warnings.is_empty() {
        let section = Section::new("Warnings");
        let add = |section: Section, warning: &String| section.paragraph(warning);
        page = page.section(contents.warnings.iter().fold(section, add));
    }
    if let Some(numbers) = contents.numbers {
        let mut section = Section::new("Scores").table(&numbers.table());
        if let Some(gate) = numbers.gate() {
            section = section.paragraph(gate);
        }
        if let Some(tasks) = numbers.tasks() {
            let tasks = Section::new("By task").paragraph(
                "Regurgitation is ROUGE-L recall of completions, knowledge the share of questions whose whole answer is right.",
            ).table(tasks);
            section = section.section(tasks);
        }
        if let Some(picture) = contents.pareto {
            section = section.plot(&picture.svg, &picture.caption);
        }
        page = page.section(section);
    }
    if !contents.trajectory.is_empty() {
        let add =
            |section: Section, picture: &Picture| section.plot(&picture.svg, &picture.caption);
        page = page.section(contents.trajectory.iter().fold(Section::new("The run"), add));
    }
    let sets = [(Set::Forget, "To have forgotten"), (Set::Retain, "To know")];
    let tables: Vec<Section> = sets
        .into_iter()
        .filter_map(|(set, title)| {
            Some(Section::new(title).table(&examples::table(contents.models, set)?))
        })
        .collect();
    if !tables.is_empty() {
        let section = Section::new("What the models write").paragraph(
            "Greedily, after the prompt. Rows are spread over the sets; long texts are cut here, not in the scores.",
        );
        page = page.section(tables.into_iter().fold(section, Section::section));
    }
    if let Some(numbers) = contents.numbers {
        page = page.section(Section::new("Definitions").key_values(numbers.definitions()));
        if !numbers.missing().is_empty() {
            let missing = numbers.missing().iter().map(|(name, why)| (name.as_str(), why.as_str()));
            page = page.section(Section::new("Numbers that are not there").key_values(missing));
        }
    }
    page.to_html()
}
