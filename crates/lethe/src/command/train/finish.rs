//! What a run leaves for people: the model, the statement, the course, a page.

use std::collections::BTreeMap;

use dp_core::{Error as PrivacyError, PldAccountant, Refusal};
use report::html::Section;
use report::plot::{Plot, Series};
use serde_json::json;
use tape_nn::load::safetensors;

use super::budget::RESULT;
use super::config::Data;
use super::run::{Prepared, Trained};
use super::saved::Point;
use crate::command::Outcome;
use crate::command::write::{self, Folder, picture};
use crate::error::Result;

/// Pictures that a run may leave.
const PICTURES: [&str; 3] = ["rates.svg", "accuracy.svg", "clip-norms.svg"];

/// An assumption more, where a test set was evaluated.
const TESTED: &str = "  test records are not protected by this statement\n";

/// The statement, or why there is none.
struct Promise {
    text: String,
    epsilon: Option<f64>,
    /// Of the ledger as it is, if the noise were secret; not a promise.
    simulated: f64,
}

pub(super) fn outcome(prepared: &Prepared, trained: &Trained) -> Result<Outcome> {
    let promise = promise(prepared, trained)?;
    let accuracy = trained.course.iter().rev().find_map(|point| point.accuracy);
    let mut lines = prepared.lines();
    lines.push(("steps taken".into(), trained.course.len().to_string()));
    lines.push(("charged".into(), trained.ledger.n_charges().to_string()));
    if let Some(accuracy) = accuracy {
        lines.push(("test accuracy".into(), format!("{:.2} %", 100.0 * accuracy)));
    }

    let mut folder = Folder::named(prepared.folder.clone());
    let metadata = BTreeMap::from([("format".to_owned(), "lethe-train".to_owned())]);
    let all = trained.params.union(&prepared.frozen)?;
    folder.add("model.safetensors", safetensors::to_bytes(&all, &metadata)?);
    folder.add("course.csv", course(&trained.course)?);
    folder.add("statement.txt", promise.text.clone());
    let pictures = pictures(&trained.course)?;
    for picture in &pictures {
        folder.add(picture.name, picture.svg.as_str());
    }
    let classes = match &prepared.config.data {
        Data::Csv { classes, .. } | Data::Jsonl { classes, .. } => json!(classes),
        Data::Idx { classes, .. } => json!(classes),
    };
    folder.add(
        RESULT,
        write::json(&json!({
            "format": "lethe-train",
            "version": 1,
            "config": prepared.config,
            "classes": classes,
            "steps": trained.course.len(),
            "charges": trained.ledger.n_charges(),
            "epsilon": promise.epsilon,
            "simulated_epsilon": promise.simulated,
            "delta": prepared.plan.delta().get(),
            "statement": promise.text,
            "test_accuracy": accuracy,
        }))?,
    );
    let section = Section::new("Privacy").code(&promise.text);
    folder.add("report.html", write::page("Private training", &lines, &pictures, [section]));

    let stale = folder.stale(&PICTURES);
    let (written, files) = folder.finish();
    let mut notes: Vec<String> = prepared.plan.warnings().iter().map(ToString::to_string).collect();
    if accuracy.is_some() {
        notes.push(
            "the accuracy on the test set is an answer without noise about the records of that set"
                .into(),
        );
    }
    let stdout = format!("{}\n{}\n{written}", write::aligned(&lines), promise.text);
    Ok(Outcome { stdout, notes, files, stale, ..Outcome::default() })
}

fn promise(prepared: &Prepared, trained: &Trained) -> Result<Promise> {
    let is_tested = prepared.test.is_some();
    let (accountant, delta) = (PldAccountant::new(), prepared.plan.delta());
    let simulated = trained.ledger.simulated_epsilon(&accountant, delta)?.value();
    match trained.ledger.statement(&accountant, delta) {
        Ok(statement) => Ok(Promise {
            // Assumptions are its last lines.
            text: format!("{statement}{}", if is_tested { TESTED } else { "" }),
            epsilon: Some(statement.epsilon()),
            simulated,
        }),
        Err(PrivacyError::NoGuarantee { reasons }) => {
            let listed: String = reasons.iter().map(|reason| format!("  {reason}\n")).collect();
            let mut text = format!("no privacy statement can be made:\n{listed}");
            if simulated.is_finite() && reasons.iter().all(|r| matches!(r, Refusal::SeededNoise)) {
                text += &format!(
                    "With secret noise, epsilon would be {simulated:.6} at delta {delta}.\n"
                );
            }
            Ok(Promise { text, epsilon: None, simulated })
        }
        Err(error) => Err(error.into()),
    }
}

fn course(points: &[Point]) -> Result<Vec<u8>> {
    let rows = points.iter().map(|point| {
        vec![
            point.step.to_string(),
            point.rate.to_string(),
            point.clip_norm.to_string(),
            point.accuracy.map(|a| a.to_string()).unwrap_or_default(),
        ]
    });
    write::csv(&["step", "rate", "clip_norm", "test_accuracy"], rows)
}

fn pictures(points: &[Point]) -> Result<Vec<write::Picture>> {
    let line = |of: fn(&Point) -> Option<f64>| {
        let points = points.iter().filter_map(|p| of(p).map(|y| (p.step as f64, y)));
        points.collect::<Vec<_>>()
    };
    let plot = |title: &str, y: &str, log: bool, values: Vec<(f64, f64)>| {
        let plot = Plot::new(title).x_label("step").y_label(y).series(Series::line(y, values));
        if log { plot.log_y().to_svg() } else { plot.to_svg() }
    };
    let mut pictures = Vec::new();
    let rates = plot("Learning rate", "rate", true, line(|p| Some(p.rate)));
    pictures.extend(picture("rates.svg", "The rate of each step.", rates)?);
    let accuracies = line(|p| p.accuracy.map(|a| 100.0 * a));
    if 1 < accuracies.len() {
        let svg = plot("Accuracy on the test set", "percent", false, accuracies);
        pictures.extend(picture("accuracy.svg", "Accuracy on the test set.", svg)?);
    }
    let norms = line(|p| Some(p.clip_norm));
    if norms.windows(2).any(|pair| (pair[0].1 - pair[1].1).abs() > 0.0) {
        let svg = plot("Clip norm", "clip norm", true, norms);
        pictures.extend(picture("clip-norms.svg", "The clip norm follows a quantile.", svg)?);
    }
    Ok(pictures)
}
