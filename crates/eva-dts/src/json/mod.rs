//! The stored shape: what a [`Report`](crate::Report) is as JSON.
//!
//! What a file does not say is left out rather than written as null: a capture of 3 kB would become
//! one of 30. So are discounts, surcharges and mixed payments of zero. A flag that is left out is false; lists of the top level are always there. Each type
//! is taken apart by name, so that a new field cannot be forgotten here.

mod machine;
mod money;
mod sales;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::amount::{Amount, Both};
use crate::clock::{Iso, Moment};
use crate::crc::{Crc, CrcStatus};
use crate::reading::Reading;
use crate::text::Text;
use crate::warning::{Oddity, Warning};

/// Whether a value says nothing.
trait Empty {
    fn is_empty(&self) -> bool;
}

impl<T> Empty for Option<T> {
    fn is_empty(&self) -> bool {
        self.is_none()
    }
}

impl<T> Empty for Vec<T> {
    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

impl Empty for bool {
    fn is_empty(&self) -> bool {
        !*self
    }
}

impl Empty for Text<'_> {
    fn is_empty(&self) -> bool {
        str::is_empty(self)
    }
}

impl Empty for Amount {
    fn is_empty(&self) -> bool {
        self.count.is_none() && self.value.is_none()
    }
}

impl Amount {
    fn is_zero(&self) -> bool {
        self.count.unwrap_or(0) == 0 && self.value.unwrap_or(0) == 0
    }
}

impl<T: Empty> Empty for Both<T> {
    fn is_empty(&self) -> bool {
        self.since_init.is_empty() && self.since_reset.is_empty()
    }
}

/// An object whose empty fields are left out.
struct Object<M>(M);

impl<M: SerializeMap> Object<M> {
    fn new<S: Serializer<SerializeMap = M, Error = M::Error>>(to: S) -> Result<Self, M::Error> {
        to.serialize_map(None).map(Self)
    }

    fn put<T: Serialize + Empty>(&mut self, name: &'static str, value: &T) -> Result<&mut Self, M::Error> {
        if value.is_empty() { Ok(self) } else { self.always(name, value) }
    }

    /// For what hardly any machine does: zeros of it are as good as nothing.
    fn put_unless_zero(&mut self, name: &'static str, value: &Both<Amount>) -> Result<&mut Self, M::Error> {
        if value.since_init.is_zero() && value.since_reset.is_zero() {
            Ok(self)
        } else {
            self.always(name, value)
        }
    }

    fn always<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<&mut Self, M::Error> {
        self.0.serialize_entry(name, value)?;
        Ok(self)
    }
}

impl Serialize for Reading<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            identity,
            currency,
            totals,
            products,
            coin_tubes,
            bills,
            events,
            reads,
            initialised_at,
            prices_set_at,
            services,
            power_outages,
            temperatures,
            vendor_clock,
            cards,
            columns,
            errors,
            crc,
            warnings,
            segments,
            is_truncated,
        } = self;
        let mut object = Object::new(to)?;
        object.always("identity", identity)?.always("currency", currency)?.always("totals", totals)?;
        object.always("products", products)?.always("coin_tubes", coin_tubes)?.put("bills", bills)?;
        object.always("events", events)?.always("reads", reads)?;
        object.put("initialised_at", initialised_at)?.put("prices_set_at", prices_set_at)?;
        object.put("services", services)?.put("power_outages", power_outages)?;
        object.always("temperatures", temperatures)?.put("vendor_clock", vendor_clock)?;
        object.put("cards", cards)?.put("columns", columns)?;
        object.always("errors", errors)?.always("crc", crc)?.always("warnings", warnings)?;
        object.always("segments", segments)?.put("is_truncated", is_truncated)?;
        object.0.end()
    }
}

impl Serialize for Crc {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { status, sent, computed } = self;
        let mut object = Object::new(to)?;
        object.always("status", status)?.put("sent", sent)?.put("computed", computed)?;
        object.0.end()
    }
}

impl Serialize for CrcStatus {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl Serialize for Warning<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { line, oddity, text } = self;
        let mut object = Object::new(to)?;
        object.always("line", line)?.always("oddity", oddity)?.always("text", text)?;
        object.0.end()
    }
}

impl Serialize for Oddity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(Iso::of(*self).as_str())
    }
}

impl<T: Serialize + Empty> Serialize for Both<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { since_init, since_reset } = self;
        let mut object = Object::new(to)?;
        object.put("since_init", since_init)?.put("since_reset", since_reset)?;
        object.0.end()
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { count, value } = self;
        let mut object = Object::new(to)?;
        object.put("count", count)?.put("value", value)?;
        object.0.end()
    }
}
