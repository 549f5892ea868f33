//! From published rows to samples: nothing is lost, and what does not fit is said.

use candle_core::DType;
use tape_nn::load::Tokenizer;
use unlearn::Error;
use unlearn::prepare::Preparing;
use unlearn::row::{Join, Kind, Row};
use unlearn::text::{Encoder, OverLong};

use super::{Real, all_rows, fixture};

/// A text of several times the model's positions.
fn long_text() -> Row {
    let rows = all_rows("tofu/forget01.jsonl");
    let text: Vec<&str> = rows.iter().map(|row| row.output.as_str()).collect();
    Row::new("book", Kind::Text, "", text.join(" "))
}

#[test]
fn a_text_longer_than_the_model_becomes_pieces_and_loses_nothing() {
    let real = Real::new(DType::F32);
    let row = long_text();
    let prepared =
        Preparing::new(real.encoder(), Join::None).items(&[row.clone(), row.clone()]).unwrap();
    let n = prepared.items.len() / 2;
    assert!(3 <= n && prepared.n_cut == 0, "{n} pieces");
    assert_eq!(prepared.rows, [vec![0; n], vec![1; n]].concat());
    let whole = real.tokenizer.encode(&row.output, true).unwrap();
    let mut joined = vec![1];
    let most = real.llama.config.max_position_embeddings;
    for item in &prepared.items[..n] {
        let (tokens, prompt) = (item.sample.tokens(), item.sample.prompt());
        // The token that begins every text, and as many as the model reads.
        assert_eq!((tokens[0], prompt), (1, &tokens[..1]));
        assert!(item.sample.n_positions() <= most);
        joined.extend(&tokens[1..]);
    }
    assert_eq!(joined, [&whole[..], &[2]].concat());
    // Every token but the first is learned, the end too.
    let learned: usize = prepared.items[..n].iter().map(|i| i.sample.n_labels()).sum();
    assert_eq!(learned, whole.len());
}

#[test]
fn rows_that_are_too_long_are_refused_by_name_or_cut_and_counted() {
    let real = Real::new(DType::F32);
    let mut rows = all_rows("lume/forget.jsonl");
    rows.truncate(12);
    let most = 200;
    let encoder = Encoder { most, ..real.encoder() };
    let preparing = Preparing::new(encoder, Join::Space);
    let n_tokens = |row: &Row| {
        let text = Join::Space.text(&row.input, &row.output);
        real.tokenizer.encode(&text, true).unwrap().len() + 1
    };
    let first = rows.iter().find(|row| most < n_tokens(row)).unwrap();
    match preparing.items(&rows) {
        Err(Error::Row { id, source }) => {
            assert_eq!(id, first.id);
            assert!(
                matches!(*source, Error::OverLong { n_tokens: n, most: 200 } if n == n_tokens(first)),
                "{source}"
            );
        }
        other => panic!("{other:?}"),
    }
    let cut = preparing.cutting().items(&rows).unwrap();
    let n_long = rows.iter().filter(|row| most < n_tokens(row)).count();
    assert!(0 < n_long && n_long < rows.len());
    assert_eq!((cut.n_cut, cut.items.len()), (n_long, rows.len()));
    for (row, item) in rows.iter().zip(&cut.items) {
        let tokens = item.sample.tokens();
        assert_eq!(tokens.len(), n_tokens(row).min(most));
        // The beginning stays, and the answer up to its end where it fits.
        let answer = real.tokenizer.encode(&row.output, false).unwrap().len();
        assert_eq!(tokens[0], 1);
        if answer + 10 < most {
            assert_eq!(*tokens.last().unwrap(), 2, "{}", row.id);
            assert!(answer <= item.sample.n_labels(), "{}", row.id);
        }
    }
}

#[test]
fn prompts_that_are_too_long_keep_their_beginning_and_their_end() {
    let real = Real::new(DType::F32);
    let text = long_text().output;
    let encoder = Encoder { most: 64, ..real.encoder() };
    let refused = encoder.prompt(&text, 10);
    assert!(matches!(refused, Err(Error::OverLong { most: 64, .. })), "{refused:?}");
    let whole = real.tokenizer.encode(&text, true).unwrap();
    let cut = Encoder { over_long: OverLong::Cut, ..encoder }.prompt(&text, 10).unwrap();
    assert_eq!(cut, [&[1], &whole[whole.len() - 53..]].concat());
    assert_eq!(encoder.prompt("Once", 10).unwrap(), real.tokenizer.encode("Once", true).unwrap());
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_model_is_refused() {
    let real = Real::new(DType::F32);
    let vocab_size = real.llama.config.vocab_size;
    real.encoder().check(vocab_size).unwrap();
    let other = Tokenizer::read(fixture("smollm2-135m-tokenizer")).unwrap();
    let refused = Encoder { tokenizer: &other, ..real.encoder() }.check(vocab_size);
    match refused {
        Err(Error::Tokenizer { n_tokens, vocab_size: 512 }) => assert!(49_000 < n_tokens),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refusal_stands_where_the_answer_stood() {
    let real = Real::new(DType::F32);
    let refusals = ["I do not know.".to_owned()];
    let row = Row::new("7", Kind::Question, "Who was it?", "A cat.");
    for join in [Join::Space, Join::None, Join::QuestionAnswer] {
        let preparing = Preparing { refusals: &refusals, ..Preparing::new(real.encoder(), join) };
        let items = preparing.items(std::slice::from_ref(&row)).unwrap().items;
        let refused = Row { output: refusals[0].clone(), ..row.clone() };
        let as_answer = preparing.items(&[refused]).unwrap().items;
        assert_eq!(items[0].refusal.as_ref(), Some(&as_answer[0].sample), "{join}");
    }
}

#[test]
fn an_end_that_a_text_already_has_is_not_learned_twice() {
    let real = Real::new(DType::F32);
    let end = real.encoder().tokenizer.encode(".", false).unwrap().last().copied();
    let encoder = Encoder { end, ..real.encoder() };
    let (with, _) = encoder.encode("Who?", " A cat.").unwrap();
    let (without, _) = Encoder { end: None, ..encoder }.encode("Who?", " A cat.").unwrap();
    assert_eq!(with, without);
    let (other, _) = encoder.encode("Who?", " A cat").unwrap();
    assert_eq!(other.tokens().last().copied(), end);
}

#[test]
fn an_answer_without_tokens_is_refused_unless_its_end_is_learned() {
    let real = Real::new(DType::F32);
    let row = Row::new("7", Kind::Question, "Who?", "");
    let without = Encoder { end: None, ..real.encoder() };
    let refused = Preparing::new(without, Join::None).items(std::slice::from_ref(&row));
    match refused {
        Err(Error::Row { id, source }) => {
            assert_eq!(id, "7");
            assert!(matches!(*source, Error::Empty { what: "tokens of an answer" }), "{source}");
        }
        other => panic!("{other:?}"),
    }
    let with = Preparing::new(real.encoder(), Join::None).items(&[row]).unwrap();
    assert_eq!(with.items[0].sample.n_labels(), 1);
    let none = Preparing::new(real.encoder(), Join::None).items(&[]);
    assert!(matches!(none, Err(Error::Empty { what: "rows" })));
}
