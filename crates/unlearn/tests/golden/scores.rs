//! The final score of the shared task.

use report::golden::number;
use serde_json::Value;
use unlearn::multiple_choice::Rule;
use unlearn::score::semeval::{Cell, Cells, Gate, Outcome, TASKS};
use unlearn::{Definition, Score};

use super::{Golden, close, numbers};

fn cells(case: &Value) -> Cells {
    let of = |split: &str| {
        TASKS.map(|task| {
            let at = |key: &str| number(case, &format!("/cells/{split}/{}/{key}", task.name()));
            Cell { regurgitation: at("regurgitation"), knowledge: at("knowledge") }
        })
    };
    Cells { forget: of("forget"), retain: of("retain") }
}

#[test]
fn golden_final_scores_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(cases) = file.section("semeval") else { return };
    let (of_auc, tolerance) = (file.tolerance("auc"), file.tolerance("losses"));
    for (idx, case) in cases.iter().enumerate() {
        let what = format!("case {idx}");
        let definition =
            Definition::Accuracy { questions: "mmlu".into(), rule: Rule::MostProbable };
        let accuracy = Score::new(number(case, "/mmlu"), definition).unwrap();
        let (member, nonmember) = (numbers(&case["member_loss"]), numbers(&case["nonmember_loss"]));
        let outcome =
            Outcome::new(cells(case), &member, &nonmember, accuracy, Gate::SevenBillion).unwrap();
        let aggregate = outcome.task_aggregate().value();
        close(aggregate, number(case, "/task_aggregate"), tolerance, &what);
        close(outcome.auc().value(), number(case, "/mia_auc"), of_auc, &what);
        close(outcome.membership().value(), number(case, "/mia_score"), of_auc, &what);
        close(outcome.score().value(), number(case, "/final"), tolerance, &what);
        let passes = case["passes_mmlu_gate_0.371"].as_bool().unwrap();
        assert_eq!(outcome.passes_gate(), passes, "{what}");
    }
}
