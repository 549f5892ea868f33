//! Overlap of texts, and stems.

use std::num::NonZeroUsize;

use report::golden::{array, number, text};
use unlearn::metric::porter::stem;
use unlearn::metric::rouge::{Overlap, Rouge};

use super::{Golden, close};

#[test]
fn golden_texts_are_cut_into_the_same_tokens() {
    let Some(file) = Golden::read() else { return };
    let Some(part) = file.part("rouge") else { return };
    let rouge = Rouge { stemmer: false };
    let cases = array(&part["cases"]);
    assert!(!cases.is_empty());
    for case in cases {
        for side in ["reference", "candidate"] {
            let want: Vec<&str> = array(&case[format!("tokens_{side}")])
                .iter()
                .map(|token| token.as_str().unwrap())
                .collect();
            assert_eq!(rouge.tokens(text(case, &format!("/{side}"))), want, "{case}");
        }
    }
}

#[test]
fn golden_overlaps_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(part) = file.part("rouge") else { return };
    let tolerance = file.tolerance("rouge");
    for case in array(&part["cases"]) {
        let (reference, candidate) = (text(case, "/reference"), text(case, "/candidate"));
        for (key, rouge) in
            [("nostem", Rouge { stemmer: false }), ("stem", Rouge { stemmer: true })]
        {
            let two = NonZeroUsize::new(2).unwrap();
            let got: [(&str, Overlap); 3] = [
                ("rouge1", rouge.rouge_1(reference, candidate)),
                ("rouge2", rouge.rouge_n(two, reference, candidate)),
                ("rougeL", rouge.rouge_l(reference, candidate)),
            ];
            for (name, got) in got {
                let want = &case[key][name];
                let what = format!("{key} {name} of {reference:?} and {candidate:?}");
                close(got.precision, number(want, "/precision"), tolerance, &what);
                close(got.recall, number(want, "/recall"), tolerance, &what);
                close(got.f_measure, number(want, "/fmeasure"), tolerance, &what);
            }
        }
    }
}

#[test]
fn golden_stems_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(part) = file.part("rouge") else { return };
    let pairs = array(&part["porter_nltk_extensions"]);
    assert!(!pairs.is_empty());
    for pair in pairs {
        assert_eq!(stem(text(pair, "/word")), text(pair, "/stem"), "{pair}");
    }
}
