//! The schema and the parser, held against each other.

use serde_json::Value;

use super::shape::Shape;
use super::{Manifest, schema, tree};

