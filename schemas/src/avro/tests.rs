mod differential;
mod hostile;
mod kept;
mod oracle;
mod pairs;

use crate::{Codec, Profile};
use std::sync::Arc;

fn embedded() -> Codec {
    Codec::new(Arc::new(Profile::embedded().unwrap()))
}
