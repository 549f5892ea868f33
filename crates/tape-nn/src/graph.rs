//! The bridge into candle's graph: a node whose value is already known and whose backward pass is a closure.

use std::sync::Mutex;

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Shape, Storage,
    Tensor,
};
use tensor_tree::host::Real;

type CandleResult<T> = candle_core::Result<T>;

/// A value that was computed outside the graph.
#[derive(Debug)]
pub(crate) struct Value {
    buffer: Mutex<Buffer>,
    shape: Shape,
}

#[derive(Debug)]
enum Buffer {
    Host(CpuStorage),
    Tensor(Tensor),
    Taken,
}

impl Value {
    /// A buffer on the CPU in row-major order.
    pub(crate) fn host<T: Real>(data: Vec<T>, shape: impl Into<Shape>) -> Value {
        let storage = T::to_cpu_storage_owned(data);
        Value { buffer: Mutex::new(Buffer::Host(storage)), shape: shape.into() }
    }

    /// A tensor on any device; its storage is copied once.
    pub(crate) fn tensor(tensor: Tensor) -> CandleResult<Value> {
        let tensor = tensor.detach().contiguous()?;
        let shape = tensor.shape().clone();
        Ok(Value { buffer: Mutex::new(Buffer::Tensor(tensor)), shape })
    }

    /// The value outside any graph.
    pub(crate) fn plain(self) -> CandleResult<Tensor> {
        match self.buffer.into_inner().unwrap_or(Buffer::Taken) {
            Buffer::Host(storage) => Ok(Tensor::from_storage(
                Storage::Cpu(storage),
                self.shape,
                candle_core::op::BackpropOp::none(),
                false,
            )),
            Buffer::Tensor(tensor) => Ok(tensor),
            Buffer::Taken => Err(taken()),
        }
    }

    fn take(&self) -> Buffer {
        self.buffer.lock().map_or(Buffer::Taken, |mut b| std::mem::replace(&mut *b, Buffer::Taken))
    }

    fn cpu(&self) -> CandleResult<(CpuStorage, Shape)> {
        match self.take() {
            Buffer::Host(storage) => Ok((storage, self.shape.clone())),
            Buffer::Tensor(t) => match &*t.storage_and_layout().0 {
                Storage::Cpu(s) => Ok((s.try_clone(t.layout())?, self.shape.clone())),
                _ => Err(taken()),
            },
            Buffer::Taken => Err(taken()),
        }
    }

    fn cuda(&self) -> CandleResult<(CudaStorage, Shape)> {
        match self.take() {
            Buffer::Tensor(t) => match &*t.storage_and_layout().0 {
                Storage::Cuda(s) => Ok((s.try_clone(t.layout())?, self.shape.clone())),
                _ => Err(taken()),
            },
            _ => Err(taken()),
        }
    }

    fn metal(&self) -> CandleResult<(MetalStorage, Shape)> {
        match self.take() {
            Buffer::Tensor(t) => match &*t.storage_and_layout().0 {
                Storage::Metal(s) => Ok((s.try_clone(t.layout())?, self.shape.clone())),
                _ => Err(taken()),
            },
            _ => Err(taken()),
        }
    }
}

fn taken() -> candle_core::Error {
    candle_core::Error::Msg(
        "the value of a recorded operation lies on another device than its input".into(),
    )
}

/// Input gradients for the gradient of the result; `None` for an input that needs none.
///
/// It runs once, so that what it keeps is freed while the rest of the backward pass still runs.
pub(crate) trait Backward<const N: usize>:
    FnOnce(&Tensor) -> CandleResult<[Option<Tensor>; N]> + Send + 'static
{
}
impl<const N: usize, F> Backward<N> for F where
    F: FnOnce(&Tensor) -> CandleResult<[Option<Tensor>; N]> + Send + 'static
{
}

struct Node<const N: usize, F> {
    name: &'static str,
    value: Value,
    backward: Mutex<Option<F>>,
}

impl<const N: usize, F: Backward<N>> Node<N, F> {
    fn new(name: &'static str, value: Value, backward: F) -> Self {
        Node { name, value, backward: Mutex::new(Some(backward)) }
    }

    fn gradients(&self, grad: &Tensor) -> CandleResult<[Option<Tensor>; N]> {
        let backward = self.backward.lock().map_or(None, |mut b| b.take());
        let ran = || format!("the backward pass of `{}` has run already", self.name);
        backward.ok_or_else(|| candle_core::Error::Msg(ran()))?(grad)
    }
}

macro_rules! forward {
    ($($s:ident $l:ident),*) => {
        fn name(&self) -> &'static str {
            self.name
        }
        fn cpu_fwd(&self, $($s: &CpuStorage, $l: &Layout),*) -> CandleResult<(CpuStorage, Shape)> {
            $(let _ = ($s, $l);)*
            self.value.cpu()
        }
        fn cuda_fwd(&self, $($s: &CudaStorage, $l: &Layout),*) -> CandleResult<(CudaStorage, Shape)> {
            $(let _ = ($s, $l);)*
            self.value.cuda()
        }
        fn metal_fwd(&self, $($s: &MetalStorage, $l: &Layout),*) -> CandleResult<(MetalStorage, Shape)> {
            $(let _ = ($s, $l);)*
            self.value.metal()
        }
    };
}

impl<F: Backward<1>> CustomOp1 for Node<1, F> {
    forward!(s1 l1);
    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        let [a] = self.gradients(grad)?;
        Ok(a)
    }
}

impl<F: Backward<1>> CustomOp2 for Node<1, F> {
    forward!(s1 l1, s2 l2);
    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let [a] = self.gradients(grad)?;
        Ok((a, None))
    }
}

impl<F: Backward<2>> CustomOp2 for Node<2, F> {
    forward!(s1 l1, s2 l2);
    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.gradients(grad)?;
        Ok((a, b))
    }
}

impl<F: Backward<3>> CustomOp3 for Node<3, F> {
    forward!(s1 l1, s2 l2, s3 l3);
    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.gradients(grad)?;
        Ok((a, b, c))
    }
}

/// A node of one input. Without an anchor it is in the graph only if the input is.
///
/// `backward` must return a gradient exactly if `x.track_op()`.
pub(crate) fn node(
    name: &'static str,
    x: &Tensor,
    anchor: Option<&Tensor>,
    value: Value,
    backward: impl Backward<1>,
) -> CandleResult<Tensor> {
    match anchor {
        Some(anchor) => x.apply_op2(anchor, Node::new(name, value, backward)),
        None if x.track_op() => x.apply_op1(Node::new(name, value, backward)),
        None => value.plain(),
    }
}

/// A node without tensor inputs that must still be visited in the backward pass.
pub(crate) fn source(
    name: &'static str,
    anchor: Option<&Tensor>,
    value: Value,
    backward: impl Backward<1>,
) -> CandleResult<Tensor> {
    match anchor {
        Some(anchor) => anchor.apply_op1(Node::new(name, value, backward)),
        None => value.plain(),
    }
}

/// A node of two inputs.
pub(crate) fn node2(
    name: &'static str,
    inputs: [&Tensor; 2],
    value: Value,
    backward: impl Backward<2>,
) -> CandleResult<Tensor> {
    if inputs.iter().any(|x| x.track_op()) {
        inputs[0].apply_op2(inputs[1], Node::new(name, value, backward))
    } else {
        value.plain()
    }
}

/// A node of three inputs.
pub(crate) fn node3(
    name: &'static str,
    inputs: [&Tensor; 3],
    value: Value,
    backward: impl Backward<3>,
) -> CandleResult<Tensor> {
    if inputs.iter().any(|x| x.track_op()) {
        inputs[0].apply_op3(inputs[1], inputs[2], Node::new(name, value, backward))
    } else {
        value.plain()
    }
}
