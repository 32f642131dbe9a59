//! Values inside of items: lib0's `Any` (`readAny` of lib0, `Any::decode` of yrs) and JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Refused;
use editorcluster_core::lib0::Reader;

/// Arrays and maps in each other, at most. As deep as serde_json goes; no stack is too small for it.
pub(super) const MAX_DEPTH: u32 = 128;

pub(super) fn any(reader: &mut Reader<'_>) -> Result<(), Refused> {
    nested_any(reader, MAX_DEPTH)
}

/// `depth`: how many arrays and maps may still begin.
fn nested_any(reader: &mut Reader<'_>, depth: u32) -> Result<(), Refused> {
    match reader.byte()? {
        // undefined, null, false, true
        127 | 126 | 121 | 120 => {}
        // integer
        125 => {
            reader.var_int()?;
        }
        // float32
        124 => {
            reader.bytes(4)?;
        }
        // float64, bigint
        123 | 122 => {
            reader.bytes(8)?;
        }
        // string
        119 => {
            reader.var_str()?;
        }
        // map
        118 => {
            let depth = depth.checked_sub(1).ok_or(Refused::TooDeep)?;
            for _ in 0..reader.var_uint()? {
                reader.var_str()?;
                nested_any(reader, depth)?;
            }
        }
        // array
        117 => {
            let depth = depth.checked_sub(1).ok_or(Refused::TooDeep)?;
            for _ in 0..reader.var_uint()? {
                nested_any(reader, depth)?;
            }
        }
        // Uint8Array
        116 => {
            reader.var_bytes()?;
        }
        other => return Err(Refused::UnknownValue(other)),
    }
    Ok(())
}

pub(super) fn json(reader: &mut Reader<'_>) -> Result<(), Refused> {
    serde_json::from_str::<Json>(reader.var_str()?).map(drop).map_err(|_| Refused::NotJson)
}

/// JSON that yrs reads too. Not `IgnoredAny`, which lets pass what yrs then fails on: halves of surrogate pairs, numbers
/// out of range, any depth.
struct Json;

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Json {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    /// yrs keeps integers as i64.
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self, E> {
        i64::try_from(value).map(|_| self).map_err(E::custom)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}
