//! What is trained, and in which form models come and go.

use candle_core::Tensor;
use tape_nn::load::{Pretrained, Tokenizer};

use super::{SETS, distance, model, place};
use crate::program::Place;

fn run(place: &Place, flags: &str, out: &str) -> Pretrained {
    place.runs(&format!(
        "unlearn run --model target {SETS} {flags} --batch 13 --no-eval -q --out {out}"
    ));
    model(&place.path(out))
}

/// Names of leaves that differ.
fn moved(a: &Pretrained, b: &Pretrained) -> Vec<String> {
    let change = a.params.add_scaled(-1.0, &b.params).unwrap();
    let is_moved =
        |leaf: &Tensor| 0.0 < leaf.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    change.iter().filter(|(_, leaf)| is_moved(leaf)).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn what_is_trained_moves_and_nothing_else() {
    let place = place();
    let target = model(&place.path("target"));
    let all = target.params.len();
    let short = "--steps 2 --rate 1e-3";
    assert_eq!(moved(&run(&place, short, "full"), &target).len(), all);
    let lora = moved(&run(&place, &format!("{short} --lora 4"), "lora"), &target);
    assert_eq!(lora.len(), 7, "{lora:?}");
    assert!(lora.iter().all(|name| name.ends_with("_proj.weight")), "{lora:?}");
    let last = moved(&run(&place, &format!("{short} --last-blocks 1"), "last"), &target);
    assert!(
        last.iter().all(|name| name.starts_with("model.layers.0.")) && last.len() == 9,
        "{last:?}"
    );
    let leaves =
        moved(&run(&place, &format!("{short} --leaves down_proj.weight"), "leaves"), &target);
    assert_eq!(leaves, ["model.layers.0.mlp.down_proj.weight"]);
    let chosen = run(&place, &format!("{short} --adapeft 0.5"), "chosen");
    let n = |names: &[String]| -> usize {
        names.iter().map(|name| target.params.get(name).unwrap().elem_count()).sum()
    };
    let chosen = moved(&chosen, &target);
    assert!(!chosen.is_empty() && 2 * n(&chosen) <= target.params.n_elements(), "{chosen:?}");
}

#[test]
fn a_task_vector_goes_the_other_way_by_its_factor() {
    let place = place();
    let target = model(&place.path("target"));
    let of = |factor: &str| {
        let flags = format!("--method task-vector --factor {factor} --rate 1e-3 --steps 5");
        run(&place, &flags, &format!("vector{factor}"))
    };
    let (learned, once, twice) = (of("-1"), of("1"), of("2"));
    let far = distance(&learned, &target);
    assert!(1e-3 < far && (distance(&once, &target) - far).abs() < 1e-4 * far);
    assert!((distance(&twice, &target) - 2.0 * far).abs() < 1e-4 * far);
    assert!((distance(&once, &learned) - 2.0 * far).abs() < 1e-4 * far);
}

#[test]
fn an_epoch_of_a_task_vector_learns_every_row_once() {
    let place = place();
    run(&place, "--method task-vector --rate 1e-6 --epochs 1 --optimizer sgd", "out");
    let run = place.json("out/run.json");
    let log = run["log"].as_array().unwrap();
    assert_eq!(log.len(), 1, "13 rows in a batch of 13");
    // The loss of the batch is that of all rows; with rows drawn twice, and others left out, it is another one.
    let (batch, all) = (log[0]["retain"].as_f64().unwrap(), &run["checks"][0]["forget"]);
    let all = all.as_f64().unwrap();
    assert!((batch - all).abs() < 1e-4 * all, "{batch} and {all}");
}

#[test]
fn methods_with_refusals_learn_them() {
    let place = place();
    place.write("no.txt", "I do not know.\nI cannot say.\n");
    let flags =
        "--method idk --refusals no.txt --steps 60 --rate 3e-3 --batch 13 --forget-ceiling none";
    place.runs(&format!(
        "unlearn run --model target {SETS} {flags} --holdout data/holdout.jsonl --max-new 24 -q --out out"
    ));
    let findings = place.json("out/findings.json");
    let rows = findings["forget"]["rows"].as_array().unwrap();
    let refused = rows.iter().filter(|row| {
        ["I do not know.", "I cannot say."].contains(&row["generation"].as_str().unwrap())
    });
    assert!(rows.len() < 2 * refused.count(), "{rows:?}");
}

/// A GGUF file of a model in safetensors: rows of query and key weights become neighbors.
fn gguf(of: &Pretrained) -> Vec<u8> {
    let c = &of.config;
    let mut out = b"GGUF".to_vec();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let counts = [
        ("embedding_length", c.hidden_size),
        ("block_count", c.num_hidden_layers),
        ("feed_forward_length", c.intermediate_size),
        ("attention.head_count", c.num_attention_heads),
        ("attention.head_count_kv", c.num_key_value_heads),
        ("context_length", c.max_position_embeddings),
    ];
    out.extend(3u32.to_le_bytes());
    out.extend((of.params.len() as u64).to_le_bytes());
    out.extend((counts.len() as u64 + 4).to_le_bytes());
    text(&mut out, "general.architecture");
    out.extend(8u32.to_le_bytes());
    text(&mut out, "llama");
    for (name, count) in counts {
        text(&mut out, &format!("llama.{name}"));
        out.extend(4u32.to_le_bytes());
        out.extend(u32::try_from(count).unwrap().to_le_bytes());
    }
    text(&mut out, "llama.attention.layer_norm_rms_epsilon");
    out.extend(6u32.to_le_bytes());
    out.extend(c.rms_norm_eps.to_string().parse::<f32>().unwrap().to_le_bytes());
    for (name, id) in [("bos", c.bos_token_id.unwrap()), ("eos", c.eos_token_ids[0])] {
        text(&mut out, &format!("tokenizer.ggml.{name}_token_id"));
        out.extend(4u32.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    let mut data = Vec::new();
    for (name, leaf) in of.params.iter() {
        let name = name
            .replace("model.embed_tokens", "token_embd")
            .replace("model.norm", "output_norm")
            .replace("model.layers", "blk")
            .replace("self_attn.o_proj", "attn_output")
            .replace("input_layernorm", "attn_norm")
            .replace("post_attention_layernorm", "ffn_norm")
            .replace("self_attn.q_proj", "attn_q")
            .replace("self_attn.k_proj", "attn_k")
            .replace("self_attn.v_proj", "attn_v");
        let name = ["gate", "up", "down"].iter().fold(name, |name, part| {
            name.replace(&format!("mlp.{part}_proj"), &format!("ffn_{part}"))
        });
        let leaf = if name.contains("attn_q") || name.contains("attn_k") {
            let shape = (c.num_attention_heads, 2, c.head_dim / 2, c.hidden_size);
            let halves = leaf.reshape(shape).unwrap();
            halves
                .permute((0, 2, 1, 3))
                .unwrap()
                .contiguous()
                .unwrap()
                .reshape(leaf.dims())
                .unwrap()
        } else {
            leaf.clone()
        };
        text(&mut out, &name);
        out.extend(u32::try_from(leaf.rank()).unwrap().to_le_bytes());
        leaf.dims().iter().rev().for_each(|d| out.extend((*d as u64).to_le_bytes()));
        out.extend(0u32.to_le_bytes());
        out.extend((data.len() as u64).to_le_bytes());
        let numbers = leaf.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        data.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
        data.resize(data.len().next_multiple_of(32), 0);
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(data);
    out
}

#[test]
fn a_gguf_model_is_written_as_a_folder_that_reads_back_as_the_same_model() {
    let place = place();
    let target = model(&place.path("target"));
    place.write("target.gguf", gguf(&target));
    let flags = "--steps 3 --rate 1e-3 --batch 13 --no-texts --holdout data/holdout.jsonl -q";
    let run = |model: &str, out: &str| {
        place.runs(&format!("unlearn run --model {model} {SETS} {flags} --out {out}"))
    };
    run("target.gguf --tokenizer target/tokenizer.json", "a");
    run("target", "b");
    assert_eq!(place.read("a/tokenizer.json"), place.read("target/tokenizer.json"));
    // The same start, and after the same steps the same end but for rounding: the order of rows is consistent.
    let (a, b) = (model(&place.path("a")), model(&place.path("b")));
    assert_eq!(a.config, b.config);
    let way = distance(&b, &target);
    assert!(0.01 < way && distance(&a, &b) < 0.05 * way, "{} of {way}", distance(&a, &b));
    // What the run found of its model in memory is what an exam finds of the files.
    place.runs(&format!(
        "unlearn eval --model a {SETS} --no-texts --holdout data/holdout.jsonl -q --out again"
    ));
    let loss =
        |file: &str, i: usize| place.json(file)["forget"]["rows"][i]["loss"].as_f64().unwrap();
    for i in 0..13 {
        let (here, there) = (loss("a/findings.json", i), loss("again/findings.json", i));
        assert!((here - there).abs() < 1e-4 * (1.0 + here), "{here} {there}");
    }
}

#[test]
fn a_step_below_the_precision_of_the_weights_is_no_unlearning_and_said_loudly() {
    let place = place();
    let run = place.run(&format!(
        "unlearn run --model target {SETS} --rate 1e-12 --steps 2 --batch 13 --no-eval -q --out out"
    ));
    assert_eq!(run.code, 0);
    assert!(run.stderr.starts_with("note: NOTHING WAS UNLEARNED: "), "{}", run.stderr);
    assert!(place.read("out/report.html").contains("NOTHING WAS UNLEARNED"));
    assert!(!place.json("out/run.json")["no_op"].is_null());
}

#[test]
fn every_token_that_ends_a_text_does() {
    let place = place();
    let write = |name: &str, of: &str| {
        place.runs(&format!("unlearn eval --model {of} {SETS} --max-new 24 -q --out {name}"));
        let json: serde_json::Value =
            serde_json::from_str(&place.read(&format!("{name}/findings.json"))).unwrap();
        let rows = json["forget"]["rows"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| row["generation"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<String>>()
    };
    let whole = write("a", "target");
    let tokenizer = Tokenizer::read(place.path("target/tokenizer.json")).unwrap();
    let longest = whole.iter().max_by_key(|text| text.len()).unwrap();
    let inner = tokenizer.encode(longest, false).unwrap();
    let inner = inner[inner.len() / 2];
    place.write("target/generation_config.json", format!(r#"{{"eos_token_id": [2, {inner}]}}"#));
    let ended = write("b", "target");
    assert!(ended.iter().zip(&whole).any(|(ended, whole)| ended.len() < whole.len()));
    for (ended, whole) in ended.iter().zip(&whole) {
        assert!(whole.starts_with(ended.trim_end()), "{ended}, {whole}");
    }
    place.write("target/generation_config.json", r#"{"eos_token_id": "</s>"}"#);
    let run = place.run(&format!("unlearn eval --model target {SETS} -q --out c"));
    assert!(
        run.stderr.contains("`eos_token_id`: expected a token or a list of tokens"),
        "{}",
        run.stderr
    );
}
