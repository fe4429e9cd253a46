//! Who, what sells, what happened.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Object;
use crate::event::{Event, Reads, Service};
use crate::identity::{Currency, Device, Identity};
use crate::product::{Payment, PriceList, Product, SoldOut};
use crate::vendor::{Card, Column, Temperature};

impl Serialize for Identity<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            serial,
            model,
            build,
            location,
            user_field,
            asset,
            communication_id,
            version,
            control_board,
            bill_validator,
            coin_mechanism,
            cashless_1,
            cashless_2,
            audit_module,
            clock,
        } = self;
        let mut object = Object::new(to)?;
        object.put("serial", serial)?.put("model", model)?.put("build", build)?;
        object.put("location", location)?.put("user_field", user_field)?.put("asset", asset)?;
        object.put("communication_id", communication_id)?.put("version", version)?;
        object.put("control_board", control_board)?.put("bill_validator", bill_validator)?;
        object.put("coin_mechanism", coin_mechanism)?;
        object.put("cashless_1", cashless_1)?.put("cashless_2", cashless_2)?;
        object.put("audit_module", audit_module)?.put("clock", clock)?;
        object.0.end()
    }
}

impl Serialize for Device<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { serial, model, software } = self;
        let mut object = Object::new(to)?;
        object.put("serial", serial)?.put("model", model)?.put("software", software)?;
        object.0.end()
    }
}

impl Serialize for Currency<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { decimals, numeric, alpha } = self;
        let mut object = Object::new(to)?;
        object.always("decimals", decimals)?.put("numeric", numeric)?.put("alpha", alpha)?;
        object.0.end()
    }
}

impl Serialize for Product<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            selection,
            price,
            name,
            capacity,
            standard_level,
            standard_quantity,
            is_missing,
            level,
            minimum_level,
            vends,
            discounts,
            surcharges,
            test_vends,
            free_vends,
            sold_out,
            payments,
            mixed,
            price_lists,
        } = self;
        let mut object = Object::new(to)?;
        object.always("selection", selection)?.put("price", price)?.put("name", name)?;
        object.put("capacity", capacity)?.put("standard_level", standard_level)?;
        object.put("standard_quantity", standard_quantity)?;
        object.put("level", level)?.put("minimum_level", minimum_level)?.put("is_missing", is_missing)?;
        object
            .put("vends", vends)?
            .put_unless_zero("discounts", discounts)?
            .put_unless_zero("surcharges", surcharges)?;
        object
            .put("test_vends", test_vends)?
            .put("free_vends", free_vends)?
            .put_unless_zero("mixed", mixed)?;
        object.put("sold_out", sold_out)?.put("payments", payments)?.put("price_lists", price_lists)?;
        object.0.end()
    }
}

impl Serialize for SoldOut {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { at, presses } = self;
        let mut object = Object::new(to)?;
        object.put("at", at)?.put("presses", presses)?;
        object.0.end()
    }
}

impl Serialize for Payment<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { device, price_list, price, vends } = self;
        let mut object = Object::new(to)?;
        object.always("device", device)?.put("price_list", price_list)?.put("price", price)?;
        object.put("vends", vends)?;
        object.0.end()
    }
}

impl Serialize for PriceList<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { list, price, vends } = self;
        let mut object = Object::new(to)?;
        object.always("list", list)?.put("price", price)?.put("vends", vends)?;
        object.0.end()
    }
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { code, selection, at, minutes, milliseconds, count, user, is_active } = self;
        let mut object = Object::new(to)?;
        object.always("code", code)?.put("selection", selection)?.put("at", at)?;
        object.put("minutes", minutes)?.put("milliseconds", milliseconds)?;
        object.put("count", count)?.put("user", user)?.put("is_active", is_active)?;
        object.0.end()
    }
}

impl Serialize for Reads<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { with_reset, this_read, this_terminal, last_read, last_terminal, all, resets } = self;
        let mut object = Object::new(to)?;
        object.put("with_reset", with_reset)?.put("this_read", this_read)?;
        object.put("this_terminal", this_terminal)?.put("last_read", last_read)?;
        object.put("last_terminal", last_terminal)?.put("all", all)?.put("resets", resets)?;
        object.0.end()
    }
}

impl Serialize for Service<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { at, terminal, what } = self;
        let mut object = Object::new(to)?;
        object.put("at", at)?.put("terminal", terminal)?.put("what", what)?;
        object.0.end()
    }
}

impl Serialize for Temperature<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { name, hundredths, unit } = self;
        let mut object = Object::new(to)?;
        object.always("name", name)?.always("hundredths", hundredths)?.put("unit", unit)?;
        object.0.end()
    }
}

impl Serialize for Card<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { column, sales } = self;
        let mut object = Object::new(to)?;
        object.always("column", column)?.put("sales", sales)?;
        object.0.end()
    }
}

impl Serialize for Column<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { column, motors } = self;
        let mut object = Object::new(to)?;
        object.always("column", column)?.put("motors", motors)?;
        object.0.end()
    }
}
