//! Names of parameters, and the builder that makes trees of them through candle-nn's `VarBuilder`.

use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::init::{FanInOut, NormalOrUniform};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use tensor_tree::{Key, Label, Purpose, Tree};

use crate::error::{Error, Result};

/// Name and shape of one parameter: what a layer keeps instead of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    name: Arc<str>,
    shape: Vec<usize>,
}

impl Param {
    /// Asks `vb` for the parameter `name` below its prefix, so that it is initialised or read.
    ///
    /// # Errors
    /// If `vb` has it in another shape or not at all.
    pub fn new(vb: &VarBuilder<'_>, name: &str, shape: &[usize], init: Init) -> Result<Param> {
        vb.get_with_hints(shape, name, init)?;
        let prefix = vb.prefix();
        let full = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        Ok(Param { name: full.into(), shape: shape.to_vec() })
    }

    /// A parameter that exists under this full name.
    #[must_use]
    pub fn named(name: &str, shape: &[usize]) -> Param {
        Param { name: name.into(), shape: shape.to_vec() }
    }

    /// Full name, the leaf's name in the tree.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }
}

/// Collects the parameters that constructors ask for.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device};
/// use tape_nn::{Builder, linear};
/// let builder = Builder::init(tensor_tree::Key::from_seed(1), DType::F32, &Device::Cpu);
/// let layer = linear(4, 3, builder.vb().pp("fc"))?;
/// let params = builder.into_tree()?;
/// assert_eq!(params.names().collect::<Vec<_>>(), ["fc.bias", "fc.weight"]);
/// # Ok::<(), tape_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    shared: Arc<Mutex<Shared>>,
    dtype: DType,
    device: Device,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    tree: Tree,
}

#[derive(Debug)]
enum Source {
    Init(Key),
    Given(Tree),
}

impl Builder {
    /// New parameters, each drawn from a stream that depends on `key` and its name alone.
    #[must_use]
    pub fn init(key: Key, dtype: DType, device: &Device) -> Self {
        let key = key.child(Label::For(Purpose::Init));
        Self::with(Source::Init(key), dtype, device)
    }

    /// The parameters of `tree`, such as one read from a file.
    #[must_use]
    pub fn given(tree: Tree, dtype: DType, device: &Device) -> Self {
        Self::with(Source::Given(tree), dtype, device)
    }

    fn with(source: Source, dtype: DType, device: &Device) -> Self {
        let shared = Arc::new(Mutex::new(Shared { source, tree: Tree::new() }));
        Builder { shared, dtype, device: device.clone() }
    }

    /// What constructors take.
    #[must_use]
    pub fn vb(&self) -> VarBuilder<'static> {
        let backend = Recorder(self.shared.clone());
        VarBuilder::from_backend(Box::new(backend), self.dtype, self.device.clone())
    }

    /// The parameters that were asked for. A parameter asked for twice is one leaf (tied).
    ///
    /// # Errors
    /// [`Error::Load`] if the given tree has leaves that nothing asked for: most likely the file belongs to
    /// another architecture.
    pub fn into_tree(self) -> Result<Tree> {
        let (tree, unused) = self.into_parts();
        match unused.first() {
            None => Ok(tree),
            Some(name) => Err(Error::Load {
                what: "parameters",
                path: None,
                reason: format!(
                    "{} leaves are not used by the model, the first is `{name}`",
                    unused.len()
                ),
            }),
        }
    }

    /// The parameters that were asked for, and the names of those given but not asked for.
    #[must_use]
    pub fn into_parts(self) -> (Tree, Vec<String>) {
        let mut shared = match self.shared.lock() {
            Ok(shared) => shared,
            Err(poisoned) => poisoned.into_inner(),
        };
        let tree = std::mem::take(&mut shared.tree);
        let unused = match &shared.source {
            Source::Init(_) => Vec::new(),
            Source::Given(given) => {
                given.names().filter(|n| tree.get(n).is_none()).map(str::to_owned).collect()
            }
        };
        (tree, unused)
    }
}

struct Recorder(Arc<Mutex<Shared>>);

impl Recorder {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl SimpleBackend for Recorder {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut shared = self.lock();
        let tensor = match (shared.tree.get(name), &shared.source) {
            (Some(tensor), _) => tensor.clone(),
            (None, Source::Init(key)) => draw(*key, name, &shape, init, dtype, device)?,
            (None, Source::Given(tree)) => {
                let missing = || Error::MissingParam { name: name.into() };
                tree.get(name).ok_or_else(missing)?.to_dtype(dtype)?.to_device(device)?
            }
        };
        if tensor.shape() != &shape {
            return Err(Error::ParamShape {
                name: name.into(),
                expected: shape.dims().to_vec(),
                got: tensor.dims().to_vec(),
            }
            .into());
        }
        if shared.tree.get(name).is_none() {
            shared.tree.insert(name, tensor.clone()).map_err(Error::from)?;
        }
        Ok(tensor)
    }

    fn get_unchecked(
        &self,
        name: &str,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let shape = match &self.lock().source {
            Source::Given(tree) => tree.get(name).map(|t| t.shape().clone()),
            Source::Init(_) => None,
        };
        let shape = shape.ok_or_else(|| Error::MissingParam { name: name.into() })?;
        self.get(shape, name, Init::Const(0.0), dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        match &self.lock().source {
            Source::Given(tree) => tree.get(name).is_some(),
            Source::Init(_) => true,
        }
    }
}

/// Draws initial values on the CPU in `f64`, so that `f32` and `f64` models start alike.
fn draw(
    key: Key,
    name: &str,
    shape: &Shape,
    init: Init,
    dtype: DType,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let key = key.child(Label::Leaf(name));
    let mut values = vec![0f64; shape.elem_count()];
    let mut uniform = |lo: f64, up: f64| {
        key.fill_uniform(&mut values);
        values.iter_mut().for_each(|v| *v = lo + (up - lo) * *v);
    };
    match init {
        Init::Const(c) => values.fill(c),
        Init::Uniform { lo, up } => uniform(lo, up),
        Init::Randn { mean, stdev } => {
            key.fill_normal(&mut values);
            values.iter_mut().for_each(|v| *v = mean + stdev * *v);
        }
        Init::Kaiming { dist, fan, non_linearity } => {
            let dims = shape.dims();
            let receptive: usize = dims.iter().skip(2).product();
            let fan = match fan {
                FanInOut::FanIn => dims.get(1).copied().unwrap_or(1) * receptive,
                FanInOut::FanOut => dims.first().copied().unwrap_or(1) * receptive,
            };
            let std = non_linearity.gain() / (fan.max(1) as f64).sqrt();
            match dist {
                NormalOrUniform::Uniform => uniform(-(3f64.sqrt()) * std, 3f64.sqrt() * std),
                NormalOrUniform::Normal => {
                    key.fill_normal(&mut values);
                    values.iter_mut().for_each(|v| *v *= std);
                }
            }
        }
    }
    Tensor::from_vec(values, shape.clone(), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}
