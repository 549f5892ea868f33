//! LASSO, two levels and SLOPE on real data: gene expression, mails, diabetes.

mod sets;

use chacha20::ChaCha20Rng;
use rand::SeedableRng;
use report::html::Section;
use report::number::mean_std;
use report::table::{Align, Table};
use slope2::selection::{Folds, Score};
use slope2::{Binomial, Design, Gaussian, Loss, Observations, Preparation};

use super::Store;
use super::settings::figure;
use crate::data::Places;
use crate::error::Result;
use crate::session::Session;
use crate::slope::choose::{Choice, Method, Model};
use crate::task::claim::{Asks, Check, Claim, mean_and_error};
use crate::task::curves::mean_and_std;
use sets::{RealSet, Response};

/// Each row is held out once in each repeat.
const REPEATS: usize = 1;
const REPEATS_OF_FULL: usize = 10;

/// One split: rows to choose and fit on, and rows to predict.
struct Split {
    train: Vec<usize>,
    test: Vec<usize>,
}

fn splits(set: &RealSet, full: bool) -> Result<Vec<Split>> {
    if let Some(given) = set.given_splits(full) {
        return Ok(given.into_iter().map(|(train, test)| Split { train, test }).collect());
    }
    let mut rng = ChaCha20Rng::seed_from_u64(4000);
    let n_folds = 3;
    let repeats = if full { REPEATS_OF_FULL } else { REPEATS };
    let folds = Folds::repeated(
        repeats,
        |rng| match set.response {
            Response::Number => Folds::k_fold(set.y.len(), n_folds, rng),
            Response::Classes(_) => Folds::stratified(&set.y, n_folds, rng),
        },
        &mut rng,
    )?;
    let splits = folds.splits();
    Ok(splits.into_iter().map(|split| Split { train: split.train, test: split.test }).collect())
}

/// Predictors of the test rows by a model: of all rows by the first, then by the second, and so on.
fn predict(model: &Model, test: &Design<'_>) -> Vec<f64> {
    let n = test.n_rows();
    let blocks = test.stored().in_blocks(model.intercepts.len());
    let mut eta = vec![0.0; blocks.n_rows()];
    blocks.apply(&model.coefficients, &mut eta);
    for (eta, intercept) in eta.chunks_mut(n).zip(&model.intercepts) {
        eta.iter_mut().for_each(|eta| *eta += intercept);
    }
    eta
}

/// What is fitted.
fn loss(response: Response) -> Loss<'static> {
    match response {
        Response::Number => Loss::Of(&Gaussian),
        Response::Classes(2) => Loss::Of(&Binomial),
        Response::Classes(n_classes) => Loss::Multinomial { n_classes },
    }
}

/// For each method the error on the test rows, and the number of features in use.
fn errors(session: &Session, set: &RealSet, split: &Split, seed: u64) -> Result<Vec<f64>> {
    let design = set.design()?;
    let (train, test) = (design.stored_rows(&split.train)?, design.stored_rows(&split.test)?);
    let at = |rows: &[usize]| -> Vec<f64> { rows.iter().map(|i| set.y[*i]).collect() };
    let (y, y_test) = (at(&split.train), at(&split.test));
    let mut rng = ChaCha20Rng::seed_from_u64(5000 + seed);
    let folds = match set.response {
        Response::Number => Folds::k_fold(y.len(), 5, &mut rng)?,
        Response::Classes(_) => Folds::stratified(&y, 4, &mut rng)?,
    };
    let choice = |score| Choice {
        strengths: set.strengths,
        part: set.part,
        folds: folds.clone(),
        score,
        tolerance: 1e-4,
    };
    let progress = session.slope_progress();
    let preparation = Preparation::default();
    let mut values = Vec::new();
    for method in Method::ALL {
        let score = match set.response {
            Response::Number => Score::SquaredError,
            Response::Classes(_) => Score::Deviance,
        };
        let loss = loss(set.response);
        let observations = Observations { design: &train, y: &y, weights: None, loss };
        let model = choice(score).choose(method, &observations, &preparation, &progress)?;
        let mut used = vec![false; train.n_cols()];
        for block in model.coefficients.chunks(used.len()) {
            used.iter_mut().zip(block).for_each(|(used, b)| *used |= *b != 0.0);
        }
        let eta = predict(&model, &test);
        let error = match set.response {
            Response::Number => Score::SquaredError.of(loss, &y_test, &eta, None)?,
            Response::Classes(_) => {
                100.0 * Score::Misclassification.of(loss, &y_test, &eta, None)?
            }
        };
        values.extend([error, used.iter().filter(|used| **used).count() as f64]);
    }
    Ok(values)
}

pub(super) fn run(session: &Session, store: &mut Store) -> Result<Section> {
    let places = Places::discover()?;
    let mut headings = vec!["data".to_owned(), "splits".into(), "error".into()];
    headings.extend(Method::ALL.map(|m| m.name().to_owned()));
    headings.push("features in use".into());
    let mut table = Table::new(headings).with_caption(
        "Means with their standard errors over splits; features in use are means, in the order of the methods.",
    );
    for column in 3..7 {
        table = table.align(column, Align::Right);
    }
    let (mut better, mut not_worse, mut as_general) = (Vec::new(), Vec::new(), Vec::new());
    for name in sets::NAMES {
        let set = RealSet::open(name, &places)?;
        let splits = splits(&set, session.full)?;
        let task = session.progress.task(format!("slope-claims: {name}"), splits.len() as u64);
        let mut by_split = Vec::new();
        for (s, split) in (0u64..).zip(&splits) {
            let unit = format!("real/{name}/{}/{s}", split.train.len());
            by_split.push(store.values(session, &unit, || errors(session, &set, split, s))?);
            task.advance(1);
        }
        task.finish();
        let of = |i: usize| -> Vec<f64> { by_split.iter().map(|v| v[i]).collect() };
        let mut cells = vec![set.about.to_owned(), splits.len().to_string(), set.unit().to_owned()];
        for (m, method) in Method::ALL.into_iter().enumerate() {
            let (mean, error) = mean_and_error(&of(2 * m));
            cells.push(mean_std(mean, Some(error)));
            figure(session, &format!("real-{name}-{}", method.figure()), &of(2 * m), set.unit())?;
        }
        let used = (0..Method::ALL.len()).map(|m| format!("{:.0}", mean_and_std(&of(2 * m + 1)).0));
        cells.push(used.collect::<Vec<_>>().join(", "));
        table.push_row(cells);
        let paired = |a: usize, b: usize| -> Vec<f64> {
            of(2 * a).iter().zip(of(2 * b)).map(|(a, b)| a - b).collect()
        };
        let what = format!("{}, {}", set.about, set.unit());
        let check = |asks, values| Check { what: what.clone(), asks, values };
        better.push(check(Asks::Smaller, paired(1, 0)));
        not_worse.push(check(Asks::NotLarger, paired(1, 0)));
        as_general.push(check(Asks::NotLarger, paired(1, 2)));
    }
    let miniature = "repeated splits in three, of which two thirds are chosen and fitted on; mails are cut in blocks of 1000 that \
        predict the same last 1246 (with --full the first 4800 predict them). Inner folds choose among equally many \
        penalties for each method; columns are standardized. Splits of one repeat overlap, so that standard errors are too small \
        rather than too large; several classes are one multinomial response"
        .to_owned();
    let claim = |published, checks| Claim {
        published,
        miniature: miniature.clone(),
        command: "cargo xtask bench slope-claims --only real",
        seeds: "the splits of the table".into(),
        checks,
    };
    Ok(Section::new("Real data")
        .table(&table)
        .section(
            claim("two levels predict real data better than the LASSO (2507.09110)", better)
                .section(),
        )
        .section(
            claim("two levels predict real data no worse than the LASSO (2507.09110)", not_worse)
                .section(),
        )
        .section(
            claim("two levels predict real data as well as general SLOPE (2507.09110)", as_general)
                .section(),
        ))
}
