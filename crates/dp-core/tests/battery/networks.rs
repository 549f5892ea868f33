//! One row for each layer kind: a small network around it. A new kind is one more row of [`ROWS`].

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use tape_nn::loss::{cross_entropy, linear_cross_entropy};
use tape_nn::net::{
    Cnn, CnnConfig, Gpt, GptConfig, LanguageModel, Llama, LlamaConfig, Mlp, Network,
};
use tape_nn::{
    Activation, Attention, BagMode, Builder, Channels, Context, ConvConfig, Direction, Dropout,
    Linear, Linears, LoraConfig, MultiHeadConfig, PositionTable, RecurrentConfig, Result, Rotary,
    RotaryOrder, TapeLoss, Taped, avg_pool2d, conv1d, conv1d_no_bias, conv2d, conv2d_no_bias,
    embedding, embedding_bag, global_mean_pool, group_norm, gru, instance_norm, layer_norm, linear,
    linear_no_bias, lora, lstm, max_pool2d, multi_head_attention, position_table, rms_norm, select,
    swiglu,
};
use tensor_tree::{Key, Label, Losses, Tree};

mod samples;

pub(crate) use samples::{Batch, Sample, Sizes, Tokens};

/// A network's forward pass.
pub(crate) type Forward = Box<dyn Fn(&Context<'_>, &Batch) -> Result<Losses>>;

/// A network whose frozen parameters are its own.
pub(crate) struct Net {
    forward: Forward,
    pub(crate) frozen: Tree,
}

impl TapeLoss for Net {
    type Batch = Batch;

    fn losses(&self, cx: &Context<'_>, batch: &Batch) -> Result<Losses> {
        let losses = (self.forward)(cx, batch)?;
        Ok(Losses { sum: (losses.sum * &batch.poison)?, ..losses })
    }

    fn frozen(&self) -> &Tree {
        &self.frozen
    }

    fn n_samples(&self, batch: &Batch) -> usize {
        batch.n
    }

    fn sample_ids<'b>(&self, batch: &'b Batch) -> Option<&'b [u64]> {
        Some(&batch.ids)
    }
}

/// One layer kind.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What is trained; all if empty.
    pub(crate) trained: &'static [&'static str],
    /// Whether the network sees the features, so that they can carry a NaN.
    pub(crate) sees_x: bool,
    build: fn(VarBuilder<'static>, Sizes) -> Result<Forward>,
}

impl Row {
    /// The network and its trainable parameters, moved off their initial values so that nothing is zero by chance.
    pub(crate) fn build(&self, s: Sizes, dtype: DType) -> (Taped<Net>, Tree) {
        let builder = Builder::init(Key::from_seed(9), DType::F64, &Device::Cpu);
        let forward = (self.build)(builder.vb(), s).unwrap();
        let key = Key::from_seed(10);
        let all = builder.into_tree().unwrap();
        let all = all.map(|name, leaf| key.child(Label::Leaf(name)).add_normal(leaf, 0.3)).unwrap();
        let all = all.to_dtype(dtype).unwrap();
        let (params, frozen) = match self.trained {
            [] => (all, Tree::new()),
            patterns => select::split(&all, patterns).unwrap(),
        };
        (Taped(Net { forward, frozen }), params)
    }
}

fn row(
    name: &'static str,
    sees_x: bool,
    build: fn(VarBuilder<'static>, Sizes) -> Result<Forward>,
) -> Row {
    Row { name, trained: &[], sees_x, build }
}

/// Every layer kind.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row("linear, one position", true, one_position),
        row("linear, positions", true, positions),
        row("linear without bias, relu", true, no_bias),
        row("linear, silu and gelu", true, activations),
        Row { trained: &["bias"], ..row("biases alone", true, positions) },
        Row { trained: &["fc2.*"], ..row("last layer alone", true, positions) },
        Row { trained: &["fc1.*"], ..row("first layer alone", true, positions) },
        row("layer used twice", true, used_twice),
        row("embedding with padding", false, padded),
        row("tied embedding and head", false, tied),
        row("tied embedding with padding", false, tied_padded),
        row("table of positions", false, table),
        row("part of a table of positions", false, part_of_table),
        row("layer norm", true, layer_normed),
        row("rms norm", true, rms_normed),
        row("group norm", true, group_normed),
        row("group norm, relu, pool", true, group_normed_pooled),
        row("conv1d, stride", true, |vb, s| sequence(vb, s, conv(1, 2, 1, 1))),
        row("conv1d, dilation", true, |vb, s| sequence(vb, s, conv(2, 1, 2, 1))),
        row("conv1d, groups", true, |vb, s| sequence(vb, s, conv(1, 1, 1, s.d))),
        row("conv2d, stride", true, |vb, s| image(vb, s, conv(1, 2, 1, 1))),
        row("conv2d, dilation", true, |vb, s| image(vb, s, conv(2, 1, 2, 1))),
        row("conv2d, groups", true, |vb, s| image(vb, s, conv(1, 1, 1, 2))),
        row("conv2d, channels last, pools", true, pooled),
        row("attention", true, attention),
        row("attention, grouped heads, rotary", true, grouped_attention),
        row("multi-head attention, packed", true, |vb, s| multi_head(vb, s, true)),
        row("multi-head attention over another sequence", true, |vb, s| multi_head(vb, s, false)),
        row("lstm, then lstm backwards", true, long_memory),
        row("gru", true, gated_units),
        row("gru without bias, backwards", true, gated_units_backwards),
        Row { trained: &["rnn.*"], ..row("gru below a frozen head", true, gated_units) },
        row("instance norm", true, instance_normed),
        row("bag of rows with padding", false, bagged),
        row("swiglu", true, gated),
        Row {
            trained: &["lora_a.weight", "lora_b.weight"],
            ..row("lora", true, |vb, s| adapted(vb, s, 0.0))
        },
        Row {
            trained: &["lora_a.weight", "lora_b.weight", "bias"],
            ..row("lora with dropout and biases", true, |vb, s| adapted(vb, s, 0.3))
        },
        row("dropout", true, dropped),
        row("network: perceptron", true, perceptron),
        row("network: convolutional", true, convolutional),
        row("network: GPT, tied, dropout", false, gpt),
        row("network: Llama", false, llama),
    ]
}

/// The network of the tied row with a head of its own.
pub(crate) fn untied_twin() -> Row {
    row("untied embedding and head", false, |vb, s| {
        let table = embedding(s.v, 4, vb.pp("emb"))?;
        let fc = linear(4, 4, vb.pp("fc"))?;
        let head = linear_no_bias(4, s.v, vb.pp("head"))?;
        Ok(Box::new(move |cx, b| {
            let h = fc.forward_then(cx, &table.forward(cx, &b.before()?)?, Activation::Tanh)?;
            linear_cross_entropy(cx, &head, &h, &b.next()?, None)
        }))
    })
}

fn one_position(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let fc1 = linear(s.d, 5, vb.pp("fc1"))?;
    let fc2 = linear(5, s.c, vb.pp("fc2"))?;
    Ok(Box::new(move |cx, b| {
        let h = fc1.forward_then(cx, &b.x.mean(1)?, Activation::Tanh)?;
        linear_cross_entropy(cx, &fc2, &h, &b.class()?, None)
    }))
}

fn positions(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let fc1 = linear(s.d, 5, vb.pp("fc1"))?;
    let fc2 = linear(5, s.c, vb.pp("fc2"))?;
    Ok(Box::new(move |cx, b| {
        let h = fc1.forward_then(cx, &b.x, Activation::Tanh)?;
        linear_cross_entropy(cx, &fc2, &h, &b.y, None)
    }))
}

fn no_bias(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    // Wide, so that norms of few positions come from Gram matrices.
    let fc1 = linear_no_bias(s.d, 40, vb.pp("fc1"))?;
    let fc2 = linear_no_bias(40, s.c, vb.pp("fc2"))?;
    Ok(Box::new(move |cx, b| {
        let h = fc1.forward_then(cx, &b.x, Activation::Relu)?;
        cross_entropy(&fc2.forward(cx, &h)?, &b.y, None)
    }))
}

fn activations(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let fc1 = linear(s.d, 4, vb.pp("fc1"))?;
    let fc2 = linear(4, 4, vb.pp("fc2"))?;
    let fc3 = linear(4, s.c, vb.pp("fc3"))?;
    Ok(Box::new(move |cx, b| {
        let h = fc1.forward_then(cx, &b.x, Activation::Silu)?;
        let h = fc2.forward_then(cx, &h, Activation::GeluTanh)?;
        linear_cross_entropy(cx, &fc3, &h, &b.y, Some(0))
    }))
}

fn used_twice(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let fc = linear(s.d, s.d, vb.pp("fc"))?;
    let norm = rms_norm(s.d, 1e-6, vb.pp("norm"))?;
    let head = linear(s.d, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = norm.forward(cx, &fc.forward_then(cx, &b.x, Activation::Tanh)?)?;
        let h = norm.forward(cx, &fc.forward_then(cx, &h, Activation::Tanh)?)?;
        linear_cross_entropy(cx, &head, &h, &b.y, None)
    }))
}

fn padded(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let table = embedding(s.v, 3, vb.pp("emb"))?.with_padding(0);
    let head = linear(3, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = table.forward(cx, &b.before()?)?.tanh()?.mean(1)?;
        linear_cross_entropy(cx, &head, &h, &b.class()?, None)
    }))
}

fn tied(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    tied_with(vb, s, None)
}

fn tied_padded(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    tied_with(vb, s, Some(0))
}

fn tied_with(vb: VarBuilder<'static>, s: Sizes, padding: Option<u32>) -> Result<Forward> {
    let mut table = embedding(s.v, 4, vb.pp("emb"))?;
    if let Some(row) = padding {
        table = table.with_padding(row);
    }
    let fc = linear(4, 4, vb.pp("fc"))?;
    let head = Linear::new(table.table().clone(), None);
    Ok(Box::new(move |cx, b| {
        let h = table.forward(cx, &b.before()?)?;
        let h = fc.forward_then(cx, &h, Activation::Tanh)?;
        linear_cross_entropy(cx, &head, &h, &b.next()?, None)
    }))
}

fn table(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let places = position_table(s.t, 4, vb.pp("places"))?;
    with_places(vb, s, places, 0)
}

fn part_of_table(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let places = position_table(s.t + 3, 4, vb.pp("places"))?;
    with_places(vb, s, places, 2)
}

fn with_places(
    vb: VarBuilder<'static>,
    s: Sizes,
    places: PositionTable,
    offset: usize,
) -> Result<Forward> {
    let table = embedding(s.v, 4, vb.pp("emb"))?;
    let head = linear(4, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = places.forward(cx, &table.forward(cx, &b.before()?)?, offset)?.tanh()?;
        linear_cross_entropy(cx, &head, &h, &b.y, None)
    }))
}

fn layer_normed(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let fc = linear(s.d, 6, vb.pp("fc"))?;
    let norm = layer_norm(6, 1e-5, vb.pp("norm"))?;
    let head = linear(6, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = norm.forward(cx, &fc.forward(cx, &b.x)?)?.tanh()?;
        linear_cross_entropy(cx, &head, &h, &b.y, None)
    }))
}

fn rms_normed(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let norm = rms_norm(s.d, 1e-6, vb.pp("norm"))?;
    let head = linear_no_bias(s.d, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = norm.forward(cx, &b.x)?.tanh()?;
        linear_cross_entropy(cx, &head, &h, &b.y, None)
    }))
}

fn group_normed(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let cfg = ConvConfig { channels: Channels::Last, ..conv(1, 1, 1, 1) };
    let conv = conv1d_no_bias(s.d, 6, 3, cfg, vb.pp("conv"))?;
    let norm = group_norm(3, 6, 1e-5, vb.pp("norm"))?.with_channels(Channels::Last);
    let head = linear(6, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = norm.forward(cx, &conv.forward(cx, &b.x)?)?.tanh()?;
        linear_cross_entropy(cx, &head, &h, &b.y, None)
    }))
}

fn group_normed_pooled(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let conv = conv2d(2, 4, 3, conv(2, 1, 1, 1), vb.pp("conv"))?;
    let norm = group_norm(2, 4, 1e-5, vb.pp("norm"))?;
    let head = linear(4, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = norm.forward_relu_pool(cx, &conv.forward(cx, &b.image(2)?)?)?;
        let h = global_mean_pool(&h, Channels::First)?;
        linear_cross_entropy(cx, &head, &h, &b.class()?, None)
    }))
}

fn conv(padding: usize, stride: usize, dilation: usize, groups: usize) -> ConvConfig {
    ConvConfig { padding, stride, dilation, groups, channels: Channels::First }
}

fn sequence(vb: VarBuilder<'static>, s: Sizes, cfg: ConvConfig) -> Result<Forward> {
    let outputs = if cfg.groups == 1 { 3 } else { s.d };
    let conv = conv1d(s.d, outputs, 3, cfg, vb.pp("conv"))?;
    let head = linear(outputs, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let x = b.x.transpose(1, 2)?.contiguous()?;
        let h = conv.forward_then(cx, &x, Activation::Tanh)?.mean(2)?;
        linear_cross_entropy(cx, &head, &h, &b.class()?, None)
    }))
}

fn image(vb: VarBuilder<'static>, s: Sizes, cfg: ConvConfig) -> Result<Forward> {
    let conv = conv2d(2, 4, 3, cfg, vb.pp("conv"))?;
    let head = linear(4, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = conv.forward_then(cx, &b.image(2)?, Activation::Tanh)?.flatten_from(2)?.mean(2)?;
        linear_cross_entropy(cx, &head, &h, &b.class()?, None)
    }))
}

fn pooled(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let last = Channels::Last;
    let cfg = ConvConfig { channels: last, ..conv(2, 1, 1, 1) };
    let first = conv2d(2, 4, 3, cfg, vb.pp("conv1"))?;
    let second = conv2d(4, 3, 3, cfg, vb.pp("conv2"))?;
    let head = linear(3, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let x = b.image(2)?.permute((0, 2, 3, 1))?.contiguous()?;
        let h = first.forward_then(cx, &x, Activation::Relu)?;
        let h = second.forward(cx, &max_pool2d(&h, 2, 1, last)?)?;
        let h = global_mean_pool(&avg_pool2d(&h, 2, 2, last)?, last)?;
        linear_cross_entropy(cx, &head, &h, &b.class()?, None)
    }))
}

fn attention(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let qkv = linear(s.d, 3 * 4, vb.pp("qkv"))?;
    let attention = Attention::new(2, 2, 2)?;
    let head = linear(4, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = attention.packed(&qkv.forward(cx, &b.x)?)?;
        linear_cross_entropy(cx, &head, &h, &b.y, None)
    }))
}

fn grouped_attention(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let q = linear_no_bias(s.d, 8, vb.pp("q"))?;
    let k = linear_no_bias(s.d, 4, vb.pp("k"))?;
    let v = linear_no_bias(s.d, 4, vb.pp("v"))?;
    let rotary = Rotary::new(4, s.t, 10_000.0, RotaryOrder::Halves)?;
    let attention = Attention::new(2, 1, 4)?;
    let head = linear(8, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let queries = rotary.forward(&q.forward(cx, &b.x)?, 0)?;
        let keys = rotary.forward(&k.forward(cx, &b.x)?, 0)?;
        let h = attention.forward(&queries, &keys, &v.forward(cx, &b.x)?)?;
        linear_cross_entropy(cx, &head, &h, &b.y, None)
    }))
}

fn multi_head(vb: VarBuilder<'static>, s: Sizes, packed: bool) -> Result<Forward> {
    let fc = linear(s.d, 4, vb.pp("fc"))?;
    let config = MultiHeadConfig { packed, causal: packed, ..MultiHeadConfig::new(2) };
    let attention = multi_head_attention(4, config, vb.pp("attention"))?;
    let head = linear(4, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = fc.forward(cx, &b.x)?;
        let h = if packed {
            attention.forward(cx, &h)?
        } else {
            let first = h.narrow(1, 0, 1)?.contiguous()?;
            attention.forward_over(cx, &h, &first, &first, None)?
        };
        linear_cross_entropy(cx, &head, &h, &b.y, None)
    }))
}

fn long_memory(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let first = lstm(s.d, 4, RecurrentConfig::default(), vb.pp("rnn"))?;
    let config =
        RecurrentConfig { layer: 1, direction: Direction::Backward, ..RecurrentConfig::default() };
    let second = lstm(4, 3, config, vb.pp("rnn"))?;
    let head = linear(3, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = second.forward(cx, &first.forward(cx, &b.x)?)?;
        linear_cross_entropy(cx, &head, &h, &b.y, None)
    }))
}

fn gated_units(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    units(vb, s, RecurrentConfig::default())
}

fn gated_units_backwards(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    units(vb, s, RecurrentConfig { bias: false, layer: 0, direction: Direction::Backward })
}

fn units(vb: VarBuilder<'static>, s: Sizes, config: RecurrentConfig) -> Result<Forward> {
    let net = gru(s.d, 5, config, vb.pp("rnn"))?;
    let head = linear(5, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = net.forward(cx, &b.x)?.mean(1)?;
        linear_cross_entropy(cx, &head, &h, &b.class()?, None)
    }))
}

fn instance_normed(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    // Without bias: the normalisation takes it away, and its gradient would be rounding alone.
    let conv = conv2d_no_bias(2, 4, 3, conv(2, 1, 1, 1), vb.pp("conv"))?;
    let norm = instance_norm(4, 1e-5, vb.pp("norm"))?;
    let head = linear(4, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = norm.forward_relu(cx, &conv.forward(cx, &b.image(2)?)?)?;
        let h = global_mean_pool(&h, Channels::First)?;
        linear_cross_entropy(cx, &head, &h, &b.class()?, None)
    }))
}

fn bagged(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let bag = embedding_bag(s.v, 4, BagMode::Mean, vb.pp("bag"))?.with_padding(0);
    let head = linear(4, s.c, vb.pp("head"))?;
    Ok(Box::new(move |cx, b| {
        let h = bag.forward(cx, &b.before()?)?.tanh()?;
        linear_cross_entropy(cx, &head, &h, &b.class()?, None)
    }))
}

fn gated(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let gate = linear_no_bias(s.d, 5, vb.pp("gate"))?;
    let up = linear_no_bias(s.d, 5, vb.pp("up"))?;
    let down = linear_no_bias(5, s.c, vb.pp("down"))?;
    Ok(Box::new(move |cx, b| {
        let h = swiglu(&gate.forward(cx, &b.x)?, &up.forward(cx, &b.x)?)?;
        linear_cross_entropy(cx, &down, &h, &b.y, None)
    }))
}

/// The layers that get an adapter.
struct Two([Linear; 2]);

impl Linears for Two {
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) {
        self.0.iter_mut().for_each(f);
    }
}

fn adapted(vb: VarBuilder<'static>, s: Sizes, dropout: f64) -> Result<Forward> {
    let mut layers = Two([linear(s.d, 5, vb.pp("fc1"))?, linear(5, s.c, vb.pp("fc2"))?]);
    let config = LoraConfig { rank: 2, dropout, ..LoraConfig::for_layers(["*"]) };
    let adapters = lora::attach(&mut layers, &config, Key::from_seed(3), DType::F64, &Device::Cpu)?;
    // The builder collects them with the other leaves.
    for (name, leaf) in adapters.iter() {
        vb.get(leaf.dims(), name)?;
    }
    Ok(Box::new(move |cx, b| {
        let [fc1, fc2] = &layers.0;
        let h = fc1.forward_then(cx, &b.x, Activation::Tanh)?;
        linear_cross_entropy(cx, fc2, &h, &b.y, None)
    }))
}

fn dropped(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let fc1 = linear(s.d, 6, vb.pp("fc1"))?;
    let drop = Dropout::new("drop", 0.4)?;
    let fc2 = linear(6, s.c, vb.pp("fc2"))?;
    Ok(Box::new(move |cx, b| {
        let h = drop.forward(cx, &fc1.forward_then(cx, &b.x, Activation::Tanh)?)?;
        linear_cross_entropy(cx, &fc2, &h, &b.y, None)
    }))
}

fn perceptron(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let net = Mlp::new(&[s.t * s.d, 5, s.c], Activation::GeluErf, vb)?;
    Ok(Box::new(move |cx, b| cross_entropy(&net.forward(cx, &b.x)?, &b.class()?, None)))
}

fn convolutional(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let config = CnnConfig {
        inputs: 1,
        size: (2 * s.t, s.d),
        channels: vec![4],
        groups: 2,
        hidden: 5,
        classes: s.c,
        order: Channels::First,
    };
    let net = Cnn::new(config, vb)?;
    Ok(Box::new(move |cx, b| {
        let images = Tensor::cat(&[&b.x, &b.x], 1)?.unsqueeze(1)?;
        cross_entropy(&net.forward(cx, &images)?, &b.class()?, None)
    }))
}

fn gpt(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let config = GptConfig { tied: true, dropout: 0.2, ..GptConfig::new(s.v, s.t, 4, 1, 2) };
    let net = Gpt::new(&config, vb)?;
    Ok(Box::new(move |cx, b| {
        linear_cross_entropy(cx, net.head(), &net.hidden(cx, &b.before()?)?, &b.next()?, None)
    }))
}

fn llama(vb: VarBuilder<'static>, s: Sizes) -> Result<Forward> {
    let config = LlamaConfig::from_json(&format!(
        r#"{{"hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2,
            "num_key_value_heads": 1, "vocab_size": {}, "max_position_embeddings": {}, "rms_norm_eps": 1e-5}}"#,
        s.v, s.t
    ))?;
    let net = Llama::new(&config, vb)?;
    Ok(Box::new(move |cx, b| {
        linear_cross_entropy(cx, net.head(), &net.hidden(cx, &b.before()?)?, &b.next()?, None)
    }))
}
