//! placeholder
pub(crate) fn run(_flags: &crate::flags::Data) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
