//! Rows of a table by token, and a table of positions.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};
use tensor_tree::host::{Host, Real};

use super::{by_dtype, is_host, positive};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::graph::{Value, node, source};
use crate::kernel::for_pieces;
use crate::param::Param;
use crate::record::Record;

/// Rows of a table: `y_t = table[id_t]`.
///
/// # Shapes
/// Ids are integers `[batch, ..]`, the result is `[batch, .., width]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedding {
    table: Param,
    padding: Option<u32>,
}

/// A table below `vb` under the name `weight`, initialised with standard normals as in candle-nn.
///
/// # Errors
/// [`Error::InvalidSetting`] for a size of zero; if `vb` has the parameter in another shape.
pub fn embedding(n_rows: usize, width: usize, vb: VarBuilder<'_>) -> Result<Embedding> {
    positive("sizes of an embedding", &[n_rows, width])?;
    let init = Init::Randn { mean: 0.0, stdev: 1.0 };
    Ok(Embedding::new(Param::new(&vb, "weight", &[n_rows, width], init)?))
}

impl Embedding {
    /// A table of the given parameter. A shape that is none of a table is an error of each application.
    #[must_use]
    pub fn new(table: Param) -> Self {
        Embedding { table, padding: None }
    }

    /// The same with a row that never gets a gradient.
    #[must_use]
    pub fn with_padding(self, row: u32) -> Self {
        Embedding { padding: Some(row), ..self }
    }

    /// The table, `[rows, width]`.
    #[must_use]
    pub fn table(&self) -> &Param {
        &self.table
    }

    /// Looks the ids up.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an id that is no row; [`Error::InputShape`] for ids without a batch axis.
    pub fn forward(&self, cx: &Context<'_>, ids: &Tensor) -> Result<Tensor> {
        let (n_rows, width) = sizes(&self.table)?;
        let Some(batch) = ids.dims().first().copied() else {
            return Err(Error::InputShape {
                layer: self.table.name().into(),
                expected: "[batch, ..]".into(),
                got: vec![],
            });
        };
        let rows = Arc::new(read_ids(ids, n_rows)?);
        let leaf = cx.leaf(&self.table)?;
        let mut shape = ids.dims().to_vec();
        shape.push(width);
        let value = if is_host(&leaf.tensor) {
            by_dtype!("embedding", leaf.tensor, gather::<T>(&leaf.tensor, &rows, width, &shape))?
        } else {
            let flat = Tensor::from_slice(&rows, rows.len(), leaf.tensor.device())?;
            Value::tensor(leaf.tensor.index_select(&flat, 0)?.reshape(shape)?)?
        };
        let padding = self.padding;
        let Some(tape) = leaf.tape.clone() else { return Ok(value.plain()?) };
        let anchor = tape.anchor().clone();
        let backward = move |grad: &Tensor| {
            let g = grad.detach().reshape((batch, rows.len() / batch.max(1), width))?;
            tape.push(Record::Table {
                name: leaf.name.clone(),
                rows: rows.clone(),
                padding,
                g,
                n_rows,
            })?;
            Ok([None])
        };
        Ok(source("embedding", Some(&anchor), value, backward)?)
    }
}

/// A learned vector for each position, added to the input.
///
/// # Shapes
/// The input is `[batch, positions, width]` with at most as many positions as the table has rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionTable {
    table: Param,
}

/// A table of positions below `vb` under the name `weight`, initialised with normals of deviation 0.02.
///
/// # Errors
/// [`Error::InvalidSetting`] for a size of zero; if `vb` has the parameter in another shape.
pub fn position_table(
    n_positions: usize,
    width: usize,
    vb: VarBuilder<'_>,
) -> Result<PositionTable> {
    positive("sizes of a position table", &[n_positions, width])?;
    let init = Init::Randn { mean: 0.0, stdev: 0.02 };
    Ok(PositionTable { table: Param::new(&vb, "weight", &[n_positions, width], init)? })
}

impl PositionTable {
    /// A table of the given parameter. A shape that is none of a table is an error of each application.
    #[must_use]
    pub fn new(table: Param) -> Self {
        PositionTable { table }
    }

    /// The table, `[positions, width]`.
    #[must_use]
    pub fn table(&self) -> &Param {
        &self.table
    }

    /// Adds the rows from `offset` on to the positions of `x`.
    ///
    /// # Errors
    /// [`Error::InputShape`] if `x` does not fit the table.
    pub fn forward(&self, cx: &Context<'_>, x: &Tensor, offset: usize) -> Result<Tensor> {
        let (n_rows, width) = sizes(&self.table)?;
        let &[batch, positions, last] = x.dims() else { return Err(self.misfit(x, offset)) };
        if last != width || n_rows < offset.saturating_add(positions) {
            return Err(self.misfit(x, offset));
        }
        let leaf = cx.leaf(&self.table)?;
        let value = if is_host(x) {
            by_dtype!("position table", x, add_rows::<T>(x, &leaf.tensor, offset * width))?
        } else {
            Value::tensor(x.detach().broadcast_add(&leaf.tensor.narrow(0, offset, positions)?)?)?
        };
        let needs_input = x.track_op();
        let tape = leaf.tape.clone();
        let anchor = tape.as_ref().map(|t| t.anchor().clone());
        let backward = move |grad: &Tensor| {
            if let Some(tape) = &tape {
                let g = grad.detach().contiguous()?;
                // The whole table used once: the gradient of the output is the per-sample gradient.
                tape.push(if positions == n_rows {
                    Record::Kept { name: leaf.name.clone(), grads: g }
                } else {
                    let first = u32::try_from(offset).unwrap_or(u32::MAX);
                    let rows = position_rows(batch, first, positions);
                    Record::Table {
                        name: leaf.name.clone(),
                        rows: Arc::new(rows),
                        padding: None,
                        g,
                        n_rows,
                    }
                })?;
            }
            Ok([needs_input.then(|| grad.clone())])
        };
        Ok(node("position_table", x, anchor.as_ref(), value, backward)?)
    }

    fn misfit(&self, x: &Tensor, offset: usize) -> Error {
        Error::InputShape {
            layer: self.table.name().into(),
            expected: format!(
                "[batch, positions, {}] with positions <= {} - {offset}",
                self.table.shape()[1],
                self.table.shape()[0]
            ),
            got: x.dims().to_vec(),
        }
    }
}

/// Rows and width of a table.
fn sizes(table: &Param) -> Result<(usize, usize)> {
    match *table.shape() {
        [rows, width] if 0 < rows && 0 < width => Ok((rows, width)),
        _ => Err(Error::InvalidSetting {
            name: format!("shape of `{}`", table.name()),
            must: "two positive sizes",
            got: format!("{:?}", table.shape()),
        }),
    }
}

fn position_rows(batch: usize, first: u32, positions: usize) -> Vec<u32> {
    (0..batch).flat_map(|_| (first..).take(positions)).collect()
}

fn read_ids(ids: &Tensor, n_rows: usize) -> Result<Vec<u32>> {
    let values =
        ids.to_dtype(DType::I64)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<i64>()?;
    values
        .into_iter()
        .enumerate()
        .map(|(position, id)| match u32::try_from(id) {
            Ok(row) if (row as usize) < n_rows => Ok(row),
            _ => Err(Error::OutOfRange { what: "token", got: id, position, limit: n_rows }),
        })
        .collect()
}

fn gather<T: Real>(table: &Tensor, rows: &[u32], width: usize, shape: &[usize]) -> Result<Value> {
    let host = Host::of(table)?;
    let view = host.view();
    let table = view.slice::<T>()?;
    let mut out = vec![T::default(); rows.len() * width];
    for_pieces(&mut out, width, |i, piece| {
        let at = rows[i] as usize * width;
        piece.copy_from_slice(&table[at..at + width]);
    });
    Ok(Value::host(out, shape))
}

fn add_rows<T: Real>(x: &Tensor, table: &Tensor, start: usize) -> Result<Value> {
    let (hx, ht) = (Host::of(x)?, Host::of(table)?);
    let (vx, vt) = (hx.view(), ht.view());
    let (xs, ts) = (vx.slice::<T>()?, vt.slice::<T>()?);
    let size = xs.len() / x.dims()[0].max(1);
    let rows = &ts[start..start + size];
    let mut out = vec![T::default(); xs.len()];
    for_pieces(&mut out, size, |i, piece| {
        for ((o, x), r) in piece.iter_mut().zip(&xs[i * size..(i + 1) * size]).zip(rows) {
            *o = *x + *r;
        }
    });
    Ok(Value::host(out, x.shape()))
}

#[cfg(test)]
mod tests {
    use tensor_tree::{Key, Tree};

    use super::*;
    use crate::Builder;

    #[test]
    fn sizes_of_zero_are_refused() {
        let vb = || Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu).vb();
        for (rows, width) in [(0, 3), (3, 0)] {
            assert!(matches!(embedding(rows, width, vb()), Err(Error::InvalidSetting { .. })));
            assert!(matches!(position_table(rows, width, vb()), Err(Error::InvalidSetting { .. })));
        }
        let none = Tree::new();
        let cx = Context::eval(&none, &none);
        let ids = Tensor::zeros((1, 2), DType::U32, &Device::Cpu).unwrap();
        for shape in [&[3][..], &[3, 0]] {
            let param = Param::named("a", shape);
            let got = Embedding::new(param.clone()).forward(&cx, &ids);
            assert!(matches!(got, Err(Error::InvalidSetting { .. })));
            let got = PositionTable::new(param).forward(&cx, &ids, 0);
            assert!(matches!(got, Err(Error::InvalidSetting { .. })));
        }
    }

    #[test]
    fn inputs_that_fit_no_table_are_errors() {
        let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
        let tokens = embedding(4, 3, builder.vb().pp("t")).unwrap();
        let positions = position_table(4, 3, builder.vb().pp("p")).unwrap();
        let (params, none) = (builder.into_tree().unwrap(), Tree::new());
        let cx = Context::eval(&params, &none);
        let scalar = Tensor::new(1u32, &Device::Cpu).unwrap();
        assert!(matches!(tokens.forward(&cx, &scalar), Err(Error::InputShape { .. })));
        let x = Tensor::zeros((2, 2, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(positions.forward(&cx, &x, 2).is_ok());
        for offset in [3, usize::MAX - 1, usize::MAX] {
            let got = positions.forward(&cx, &x, offset);
            assert!(matches!(got, Err(Error::InputShape { .. })), "{offset}");
        }
    }
}
