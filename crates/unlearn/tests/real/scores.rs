//! Exams of a published model on published rows, from texts to scores, beside scores computed here from what it wrote.

use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor};
use tape_nn::load::Tokenizer;
use tape_nn::net::LanguageModel;
use tape_nn::{Context, generate};
use tensor_tree::{AdamW, Key, Tree};
use unlearn::exam::{Exam, Findings, SetResult, Subject};
use unlearn::metric::rouge::Rouge;
use unlearn::metric::truth_ratio::Wrong;
use unlearn::row::{Join, Kind, Row};
use unlearn::run::{Ceiling, Optimizer, Settings, Stop};
use unlearn::score::semeval::Gate;

use super::{Real, all_rows, settings, shortest, to_end};

const TASKS: [&str; 3] = ["Task1", "Task2", "Task3"];

/// The shortest document of each task: a completion and one of its questions. Of the completion the middle, so that a test takes seconds: the
/// end of the input and the beginning of the output.
fn documents(path: &str, skip: usize) -> Vec<Row> {
    let rows = all_rows(path);
    let mut out = Vec::new();
    for task in TASKS {
        let of_task = || rows.iter().filter(|row| row.task.as_deref() == Some(task));
        let mut completions: Vec<&Row> =
            of_task().filter(|row| row.kind == Kind::Completion).collect();
        completions.sort_by_key(|row| row.input.len() + row.output.len());
        let completion = completions[skip];
        let question = of_task()
            .find(|row| row.kind == Kind::Question && row.document() == completion.document());
        let (_, input) = completion.input.split_at(
            completion.input.ceil_char_boundary(completion.input.len().saturating_sub(80)),
        );
        let (output, _) = completion.output.split_at(completion.output.floor_char_boundary(50));
        let completion =
            Row { input: input.to_owned(), output: output.trim().to_owned(), ..completion.clone() };
        out.extend([completion, question.unwrap().clone()]);
    }
    out
}

struct Taught {
    real: Real,
    params: Tree,
}

/// The model after it was taught the rows that it is to know.
fn taught() -> &'static Taught {
    static TAUGHT: OnceLock<Taught> = OnceLock::new();
    TAUGHT.get_or_init(|| {
        let real = Real::new(DType::F32);
        let rows = [
            documents("lume/retain.jsonl", 0),
            shortest("tofu/retain_perturbed.jsonl", 2),
            shortest("tofu/real_authors_perturbed.jsonl", 2),
            shortest("tofu/world_facts_perturbed.jsonl", 2),
        ]
        .concat();
        let items = real.items(&rows);
        let stop = Stop { forget_ceiling: Ceiling::None, ..Stop::after(120) };
        let settings = Settings {
            stop,
            batch: 12,
            micro_batch: 12,
            anchor: unlearn::feed::Anchor::Retain,
            ..settings("retain", Optimizer::AdamW(AdamW::default()), 0.01, 120)
        };
        let run = real.run((&items[..1], &items), settings);
        let params = to_end(&run, &real.llama.params).params().clone();
        drop(run);
        Taught { real, params }
    })
}

fn subject<'a>(taught: &'a Taught, params: &'a Tree) -> Subject<'a, tape_nn::net::Llama> {
    Subject {
        model: &taught.real.llama.model,
        trainable: params,
        frozen: &taught.real.frozen,
        tokenizer: &taught.real.tokenizer,
        join: Join::Space,
        end: taught.real.tokenizer.id("</s>"),
        stops: &[],
        device: &Device::Cpu,
        batch: 8,
    }
}

fn sit(exam: &Exam, params: impl Fn(&'static Taught) -> &'static Tree) -> Findings {
    let taught = taught();
    exam.sit(&subject(taught, params(taught)), Key::from_seed(0), &mut |_, _, _| true).unwrap()
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    values.iter().sum::<f64>() / values.len() as f64
}

fn harmonic(values: &[f64]) -> f64 {
    values.len() as f64 / values.iter().map(|x| 1.0 / x).sum::<f64>()
}

fn recall(row: &unlearn::exam::RowResult) -> f64 {
    Rouge { stemmer: true }.rouge_l(&row.output, row.generation.as_deref().unwrap()).recall
}

#[test]
fn the_score_of_the_shared_task_is_that_of_what_was_written() {
    let exam = Exam {
        holdout: documents("lume/retain.jsonl", 1),
        max_new: 48,
        ..Exam::new(documents("lume/forget.jsonl", 0), documents("lume/retain.jsonl", 0)).unwrap()
    };
    let findings = sit(&exam, |taught| &taught.params);
    let outcome = findings.semeval(Gate::Open).unwrap();

    let mut numbers = Vec::new();
    for (set, forget) in [(&findings.forget, true), (&findings.retain, false)] {
        for task in TASKS {
            let of = |kind: &str| {
                let with = |row: &&unlearn::exam::RowResult| {
                    row.task.as_deref() == Some(task) && row.id[..row.id.len() - 1].ends_with(kind)
                };
                set.rows.iter().filter(with).collect::<Vec<_>>()
            };
            let said = mean(of("sc").into_iter().map(recall));
            let known = mean(of("qa").into_iter().map(|row| {
                let text = |text: &str| text.trim().to_lowercase();
                f64::from(text(row.generation.as_deref().unwrap()) == text(&row.output))
            }));
            numbers.extend([said, known].map(|x| if forget { 1.0 - x } else { x }));
        }
    }
    assert_eq!(numbers.len(), 12);
    // What was taught is known, and what was not is not: the aggregate is no trivial zero.
    assert!(numbers.iter().all(|x| 0.0 < *x), "{numbers:?}");
    let aggregate = outcome.task_aggregate().value();
    assert!((aggregate - harmonic(&numbers)).abs() < 1e-12, "{aggregate} {numbers:?}");

    // Members are the one document of Task3; others were held out.
    assert_eq!((findings.members.len(), findings.nonmembers.len()), (1, 1));
    let auc = match findings.members[0].total_cmp(&findings.nonmembers[0]) {
        std::cmp::Ordering::Less => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 0.0,
    };
    assert_eq!(
        (outcome.auc().value(), outcome.membership().value()),
        (auc, 1.0 - 2.0 * (auc - 0.5f64).abs())
    );
    let want = (aggregate + outcome.membership().value() + findings.accuracy) / 3.0;
    assert!((outcome.score().value() - want).abs() < 1e-12);
    for score in
        [outcome.score(), outcome.task_aggregate(), outcome.accuracy(), outcome.membership()]
    {
        assert!((0.0..=1.0).contains(&score.value()), "{score}");
    }
    let back: Findings = serde_json::from_str(&serde_json::to_string(&findings).unwrap()).unwrap();
    assert_eq!(back, findings);
    assert_eq!(back.semeval(Gate::Open).unwrap(), outcome);
}

#[test]
fn the_utility_of_tofu_is_that_of_what_was_written() {
    let facts = |path: &str| shortest(path, 2);
    let exam = Exam {
        others: vec![
            ("real_authors".into(), facts("tofu/real_authors_perturbed.jsonl")),
            ("world_facts".into(), facts("tofu/world_facts_perturbed.jsonl")),
        ],
        max_new: 32,
        ..Exam::new(
            shortest("tofu/forget01_perturbed.jsonl", 3),
            facts("tofu/retain_perturbed.jsonl"),
        )
        .unwrap()
    };
    let findings = sit(&exam, |taught| &taught.params);
    for wrong in [Wrong::Geometric, Wrong::Arithmetic] {
        let utility = findings.utility(wrong).unwrap();
        let mut numbers = Vec::new();
        let sets =
            [(&findings.retain, false), (&findings.others[0], true), (&findings.others[1], true)];
        for (set, options) in sets {
            let p = |loss: f64| (-loss).exp();
            numbers.push(mean(set.rows.iter().map(|row| match options {
                true => {
                    p(row.loss)
                        / (p(row.loss) + row.wrong_losses.iter().map(|l| p(*l)).sum::<f64>())
                }
                false => p(row.loss),
            })));
            numbers.push(mean(set.rows.iter().map(recall)));
            numbers.push(mean(set.rows.iter().map(|row| {
                assert_eq!(row.paraphrase_loss.is_some(), !options);
                let right = p(row.paraphrase_loss.unwrap_or(row.loss));
                let wrong = match wrong {
                    Wrong::Geometric => p(mean(row.wrong_losses.iter().copied())),
                    Wrong::Arithmetic => mean(row.wrong_losses.iter().map(|l| p(*l))),
                };
                (1.0 - wrong / right).max(0.0)
            })));
        }
        assert_eq!(numbers.len(), 9);
        assert!((0.0..=1.0).contains(&utility.value()), "{utility}");
        // No trivial zero.
        assert!(0.0 < utility.value(), "{numbers:?}");
        assert!((utility.value() - harmonic(&numbers)).abs() < 1e-9, "{utility} {numbers:?}");
        let back: Findings =
            serde_json::from_str(&serde_json::to_string(&findings).unwrap()).unwrap();
        assert_eq!(back.utility(wrong).unwrap(), utility);
    }
}

#[test]
fn a_model_beside_itself_is_at_distance_zero_and_beside_another_is_not() {
    let exam = Exam {
        generate: false,
        ..Exam::new(
            shortest("tofu/forget01_perturbed.jsonl", 2),
            shortest("tofu/retain_perturbed.jsonl", 2),
        )
        .unwrap()
    };
    let findings = sit(&exam, |taught| &taught.params);
    let first = sit(&exam, |taught| &taught.real.llama.params);
    assert_eq!(findings.distance(&findings).unwrap(), 0.0);
    let apart = first.distance(&findings).unwrap();
    assert!(0.05 < apart && apart <= 1.0, "{apart}");
    assert!(findings.retain.loss() < first.retain.loss());
    // Losses are those of the sums that training sees.
    let set: &SetResult = &findings.retain;
    let items = taught().real.items(&exam.retain);
    let pass = taught().real.gradient(&taught().params, &items, unlearn::loss::Loss::NextToken, 2);
    let n: usize = set.rows.iter().map(|row| row.n_tokens).sum();
    let total: f64 = set.rows.iter().map(|row| row.loss * row.n_tokens as f64).sum();
    assert!(
        (pass.loss - total / n as f64).abs() < 1e-6 + 1e-5 * pass.loss,
        "{} {}",
        pass.loss,
        total
    );
}

#[test]
fn a_prompt_longer_than_the_model_is_answered_from_its_end() {
    let taught = taught();
    let subject = subject(taught, &taught.real.llama.params);
    let story =
        "Once upon a time, there was a little girl named Lily. She had a red ball. ".repeat(30);
    let rows = [
        Row::new("long", Kind::Completion, story.clone() + "One day, Lily", "x"),
        Row::new("short", Kind::Completion, "One day, Lily", "x"),
    ];
    let settings = generate::Settings::greedy(12, &[]);
    let ask = |rows: &[Row]| {
        subject.generations(rows, &settings, Key::from_seed(0), &mut |_| true).unwrap()
    };
    let texts = ask(&rows);
    assert!(texts.iter().all(|text| 12 < text.len()), "{texts:?}");
    assert_eq!(texts[1], ask(&rows[1..])[0]);
    let found = subject.set("s", &rows, Some(12), Key::from_seed(0), &mut |_| true).unwrap();
    assert_eq!(found.rows[0].generation.as_ref(), Some(&texts[0]));
}

#[test]
fn the_divergence_is_a_mean_over_tokens_of_answers_and_their_ends() {
    let taught = taught();
    let (own, gold) = (subject(taught, &taught.params), subject(taught, &taught.real.llama.params));
    let rows = documents("lume/forget.jsonl", 0);
    let divergence = |of: &Subject<'_, _>, from| of.divergence(from, &rows, &mut |_| true).unwrap();
    let got = divergence(&own, &gold);
    assert!(got > 0.1 && divergence(&own, &own).abs() < 1e-12, "{got}");
    let alone = divergence(&Subject { batch: 1, ..own }, &gold);
    assert!((alone - got).abs() < 1e-5 * got, "{alone}, in batches {got}");

    // By hand: probabilities of all tokens behind every beginning of each text.
    let log_probs = |params: &Tree, tokens: &[u32]| -> Vec<Vec<f64>> {
        let ids = Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let cx = Context::eval(params, &taught.real.frozen);
        let logits = taught.real.llama.model.logits(&cx, &ids).unwrap().squeeze(0).unwrap();
        let rows = logits.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
        let normal = |z: &Vec<f64>| {
            let total: f64 = z.iter().map(|z| z.exp()).sum();
            z.iter().map(|z| z - total.ln()).collect()
        };
        rows.iter().map(normal).collect()
    };
    let (mut sum, mut n) = (0.0, 0);
    for row in &rows {
        let tokenizer = &taught.real.tokenizer;
        let n_prompt = tokenizer.encode(&row.input, true).unwrap().len();
        let mut tokens = tokenizer.encode(&format!("{} {}", row.input, row.output), true).unwrap();
        tokens.extend(tokenizer.id("</s>"));
        let (p, q) =
            (log_probs(&taught.params, &tokens), log_probs(&taught.real.llama.params, &tokens));
        for at in n_prompt - 1..tokens.len() - 1 {
            sum += q[at].iter().zip(&p[at]).map(|(q, p)| q.exp() * (q - p)).sum::<f64>();
            n += 1;
        }
    }
    let want = sum / f64::from(n);
    assert!((got - want).abs() < 1e-5 * want, "{got}, by hand {want}");
}

#[test]
fn a_divergence_needs_rows_and_equal_tokens_and_can_be_stopped() {
    let taught = taught();
    let own = subject(taught, &taught.params);
    let rows = documents("lume/forget.jsonl", 0);
    let none = own.divergence(&own, &[], &mut |_| true).unwrap_err();
    assert!(matches!(none, unlearn::Error::Empty { .. }), "{none}");
    let other = Subject { join: Join::QuestionAnswer, ..own };
    let unlike = own.divergence(&other, &rows, &mut |_| true).unwrap_err();
    assert!(matches!(&unlike, unlearn::Error::Row { id, .. } if *id == rows[0].id), "{unlike}");
    assert!(unlike.to_string().contains("differ at position "), "{unlike}");
    let mut told = Vec::new();
    let stopped = Subject { batch: 2, ..own }.divergence(&own, &rows, &mut |done| {
        told.push(done);
        done < 4
    });
    // Rows of unlike lengths share no pass, so that one may hold a single row.
    let Err(unlearn::Error::Model(tape_nn::Error::Stopped { done: at, total, .. })) = stopped
    else {
        panic!("expected an interrupted comparison, got {stopped:?}");
    };
    let (last, before) = told.split_last().unwrap();
    assert_eq!((*last, total), (at, rows.len()));
    assert!(4 <= at && before[0] == 0 && before.iter().all(|done| *done < 4), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0] < pair[1] && pair[1] <= pair[0] + 2), "{told:?}");
}

#[test]
fn whole_texts_are_measured_and_asked_nothing() {
    let taught = taught();
    let subject = subject(taught, &taught.params);
    let mut rows = documents("lume/forget.jsonl", 0);
    rows.insert(1, Row::new("text", Kind::Text, "", "Once upon a time there was a cat."));
    let found = subject.set("s", &rows, Some(4), Key::from_seed(0), &mut |_| true).unwrap();
    let written: Vec<bool> = found.rows.iter().map(|row| row.generation.is_some()).collect();
    assert_eq!(written, rows.iter().map(|row| row.kind != Kind::Text).collect::<Vec<_>>());
    // The generations are those of the rows that they stand beside.
    let asked =
        |rows: &[Row]| subject.set("s", rows, Some(4), Key::from_seed(0), &mut |_| true).unwrap();
    let alone = asked(&rows[2..3]);
    assert_eq!(alone.rows[0].generation, found.rows[2].generation);
    assert!(found.rows[1].loss.is_finite() && found.rouge().is_ok());
    let text = asked(&rows[1..2]);
    assert!(matches!(text.rouge(), Err(unlearn::Error::Empty { .. })));
}

#[test]
fn a_text_longer_than_the_model_is_measured_to_its_end() {
    let taught = taught();
    let subject = Subject { batch: 3, ..subject(taught, &taught.params) };
    let story = "Once upon a time, there was a little girl named Lily. She had a red ball. ";
    let row = Row::new("long", Kind::Text, "", story.repeat(60) + "The end.");
    let rows = [row.clone(), documents("lume/forget.jsonl", 0)[0].clone()];
    let found = subject.set("s", &rows, Some(4), Key::from_seed(0), &mut |_| true).unwrap();
    assert_eq!((found.n_cut, found.n_cut_prompts), (0, 0));
    // As training sees it: every token of every piece, and the end.
    let items = taught.real.items(&rows[..1]);
    assert!(3 <= items.len());
    let n: usize = items.iter().map(|item| item.sample.n_labels()).sum();
    assert_eq!(found.rows[0].n_tokens, n);
    let pass = taught.real.gradient(&taught.params, &items, unlearn::loss::Loss::NextToken, 2);
    let loss = found.rows[0].loss;
    assert!((pass.loss - loss).abs() < 1e-5 * loss, "{loss}, in training {}", pass.loss);
    let alone = subject.set("s", &rows[1..], None, Key::from_seed(0), &mut |_| true).unwrap();
    assert!((alone.rows[0].loss - found.rows[1].loss).abs() < 1e-5);
    // A document of membership inference likewise, without an end.
    let scores = subject.document_scores(std::slice::from_ref(&row.output), &mut |_| true).unwrap();
    assert_eq!(scores[0].len(), n - 1);
    let own = subject.divergence(&subject, &rows, &mut |_| true).unwrap();
    assert!(own.abs() < 1e-9, "{own}");
}

#[test]
fn what_does_not_fit_is_counted_and_said() {
    let taught = taught();
    let subject = subject(taught, &taught.params);
    let story = "Once upon a time there was a cat. ".repeat(80);
    let long = Row::new("long", Kind::Completion, story.clone() + "One day", "the cat ran.");
    let mut other = long.clone();
    other.id = "other".into();
    other.wrong_outputs = vec![story.clone()];
    let questions = unlearn::multiple_choice::Questions::parse(&format!(
        "{}\n{}",
        r#"{"format": "multiple-choice", "version": 1, "name": "n", "source": "here"}"#,
        serde_json::json!({ "subject": "a", "question": story, "options": ["x", "y"], "answer": 1 }),
    ));
    let exam = Exam {
        max_new: 4,
        questions: questions.unwrap(),
        ..Exam::new(vec![long, other], documents("lume/retain.jsonl", 0)).unwrap()
    };
    let found = exam.sit(&subject, Key::from_seed(0), &mut |_, _, _| true).unwrap();
    assert_eq!((found.forget.n_cut, found.forget.n_cut_prompts), (3, 2));
    assert_eq!((found.retain.n_cut, found.retain.n_cut_prompts, found.n_cut_options), (0, 0, 2));
    // As the set of questions says, which is not the made one.
    assert_eq!(found.rule, unlearn::multiple_choice::Rule::MostProbable);
    let said = found.cuts();
    assert_eq!(said.len(), 3, "{said:?}");
    for (said, part) in said.iter().zip(["3 answers", "2 prompts of the forget set", "2 options"]) {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn every_end_ends_a_text_and_a_token_without_a_name_says_nothing() {
    let taught = taught();
    let own = subject(taught, &taught.real.llama.params);
    let rows = [Row::new("a", Kind::Completion, "One day, Lily", "x")];
    let ask = |subject: &Subject<'_, tape_nn::net::Llama>| {
        let settings = generate::Settings::greedy(12, &[]);
        let mut texts =
            subject.generations(&rows, &settings, Key::from_seed(0), &mut |_| true).unwrap();
        texts.remove(0)
    };
    let whole = ask(&own);
    let tokens = taught.real.tokenizer.encode(&whole, false).unwrap();
    let stops = [tokens[3]];
    let ended = ask(&Subject { stops: &stops, ..own });
    assert!(ended.len() < whole.len() && whole.starts_with(ended.trim_end()), "{ended}, {whole}");

    // The tokenizer of a part of the tokens: the model writes others too.
    let few = Tokenizer::train(["One day, Lily"], 280).unwrap();
    assert!(few.n_tokens() < taught.real.llama.config.vocab_size);
    let other = Subject { tokenizer: &few, ..own };
    let new = generate::Settings::greedy(40, &[]);
    let prompt = few.encode("One day, Lily", true).unwrap();
    let (model, params) = (&taught.real.llama.model, &taught.real.llama.params);
    let key = Key::from_seed(0);
    let written =
        generate::generate(model, params, &taught.real.frozen, &prompt, &new, key).unwrap();
    assert!(written.iter().any(|token| few.token(*token).is_none()), "{written:?}");
    other.generations(&rows, &new, key, &mut |_| true).unwrap();
}

#[test]
fn documents_without_tasks_are_beside_those_of_the_third() {
    let of_task = |n: usize| Row {
        task: Some(TASKS[n].into()),
        ..Row::new(TASKS[n], Kind::Completion, "in", TASKS[n])
    };
    let forget: Vec<Row> = (0..3).map(of_task).collect();
    let members = |holdout: Vec<Row>| {
        let exam = Exam { holdout, ..Exam::new(forget.clone(), forget.clone()).unwrap() };
        exam.unanswered(Join::Space).members.len()
    };
    let text = |id: &str| Row::new(id, Kind::Text, "", "a text");
    // As the shared task gives them; with tasks; of other tasks alone; of none.
    assert_eq!(members(vec![text("a"), text("b")]), 1);
    assert_eq!(members(vec![of_task(2), of_task(0)]), 1);
    assert_eq!(members(vec![of_task(0)]), 3);
    assert_eq!(members(vec![]), 0);
}

#[test]
fn an_exam_without_texts_shows_how_far_it_is_and_can_be_stopped() {
    let rows = || {
        let mut rows = documents("lume/forget.jsonl", 0);
        rows[1].wrong_outputs = vec!["wrong".into()];
        rows[1].paraphrased_output = Some("in other words".into());
        rows
    };
    let exam = Exam {
        holdout: documents("lume/retain.jsonl", 2),
        generate: false,
        ..Exam::new(rows(), documents("lume/retain.jsonl", 0)).unwrap()
    };
    let taught = taught();
    let subject = Subject { batch: 2, ..subject(taught, &taught.params) };
    let mut told: Vec<(String, usize, usize)> = Vec::new();
    let found = exam.sit(&subject, Key::from_seed(0), &mut |what, done, of| {
        told.push((what.to_owned(), done, of));
        true
    });
    let found = found.unwrap();
    let mut parts: Vec<(&str, usize)> = told.iter().map(|(what, _, of)| (&**what, *of)).collect();
    parts.dedup();
    assert_eq!(
        parts.iter().map(|p| p.0).collect::<Vec<_>>(),
        ["forget", "retain", "documents", "questions"]
    );
    assert_eq!(parts.iter().map(|p| p.1).sum::<usize>(), exam.n_asked(subject.join));
    assert!(told.iter().all(|(_, done, of)| done < of) && 8 < told.len(), "{told:?}");
    for part in ["forget", "retain", "documents", "questions"] {
        let stopped = exam.sit(&subject, Key::from_seed(0), &mut |what, _, _| what != part);
        let is_stopped =
            matches!(stopped, Err(unlearn::Error::Model(tape_nn::Error::Stopped { .. })));
        assert!(is_stopped, "{part}: {stopped:?}");
    }
    // What is asked is known before.
    exam.unanswered(subject.join).same_exam(&found).unwrap();
    let with = |change: fn(&mut Exam)| {
        let mut other = exam.clone();
        change(&mut other);
        other.unanswered(subject.join).same_exam(&found)
    };
    for (what, change) in [
        ("a prompt", (|e| e.forget[0].input.push('!')) as fn(&mut Exam)),
        ("an answer", |e| e.retain[0].output.push('!')),
        ("a variant", |e| e.retain[1].wrong_outputs.push("x".into())),
        ("another variant", |e| e.forget[1].wrong_outputs[0].push('!')),
        ("a wrong answer that was other words", |e| {
            let words = e.forget[1].paraphrased_output.take();
            e.forget[1].wrong_outputs.splice(..0, words);
        }),
        ("other words", |e| e.forget[1].paraphrased_output = Some("other".into())),
        ("a document", |e| e.holdout.iter_mut().for_each(|row| row.output.push('!'))),
        ("texts", |e| e.generate = true),
        ("a row", |e| drop(e.forget.pop())),
    ] {
        let refused = with(change);
        let is_refused = matches!(refused, Err(unlearn::Error::DifferentDefinitions { .. }));
        assert!(is_refused, "{what}: {refused:?}");
    }
}
