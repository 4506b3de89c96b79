//! tmp
#[derive(Clone, Debug, Default)]
pub struct Condition;
impl Condition { pub fn waiting(&self, _t: impl Into<String>) {} pub fn ok(&self) {} }
#[derive(Clone, Debug, Default)]
pub struct Heartbeat;
impl Heartbeat { pub fn beat(&self) {} }
