//! Published claims about two levels, each with a miniature of ours and a verdict by rule.

mod card;
mod curve;
mod formula;
mod real;
mod settings;
mod store;

use report::html::Section;

use crate::error::Result;
use crate::session::Session;
use store::Store;

/// Runs everything and writes the section.
pub(super) fn run(session: &Session) -> Result<Section> {
    let mut store = Store::open(session)?;
    let mut section = Section::new("Claims about two levels").paragraph(card::RULE);
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
