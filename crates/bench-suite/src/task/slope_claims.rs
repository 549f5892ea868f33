//! Published claims about two levels, each with a miniature of ours and a verdict by rule.

mod curve;
mod formula;
mod real;
mod settings;

use report::html::Section;

use super::{claim, store};
use crate::error::Result;
use crate::session::Session;

/// Numbers of each seed by name.
type Store = store::Store<store::Numbers>;

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let mut store = Store::open(session, "slope-claims")?;
    let mut section = Section::new("Claims about two levels").paragraph(claim::RULE);
    if session.wants("settings") {
        section = section.section(settings::run(session, &mut store)?);
    }
    if session.wants("formula") {
        section = section.section(formula::run(session, &mut store)?);
    }
    if session.wants("curve") {
        section = section.section(curve::run(session, &mut store)?);
    }
    if session.wants("real") {
        section = section.section(real::run(session, &mut store)?);
    }
    Ok(section)
}
