//! How much.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Empty, Object};
use crate::totals::{Bill, CashIn, CashOut, Cashless, CoinTube, Totals};

impl Serialize for Totals {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            vends,
            discounts,
            surcharges,
            test_vends,
            free_vends,
            cash_sales,
            cashless_1_sales,
            cashless_2_sales,
            token_sales,
            value_token_sales,
            cash_in,
            cash_out,
            cash_discounts,
            cash_surcharges,
            overpay,
            exact_change_vends,
            cash_filled,
            bills_filled,
            credited,
            tube_value,
            recycler_value,
            cashless_1,
            cashless_2,
        } = self;
        let mut object = Object::new(to)?;
        object
            .put("vends", vends)?
            .put_unless_zero("discounts", discounts)?
            .put_unless_zero("surcharges", surcharges)?;
        object.put("test_vends", test_vends)?.put("free_vends", free_vends)?;
        object.put("cash_sales", cash_sales)?.put("cashless_1_sales", cashless_1_sales)?;
        object.put("cashless_2_sales", cashless_2_sales)?.put("token_sales", token_sales)?;
        object.put("value_token_sales", value_token_sales)?;
        object.put("cash_in", cash_in)?.put("cash_out", cash_out)?;
        object
            .put_unless_zero("cash_discounts", cash_discounts)?
            .put_unless_zero("cash_surcharges", cash_surcharges)?;
        object.put("overpay", overpay)?.put("exact_change_vends", exact_change_vends)?;
        object.put("cash_filled", cash_filled)?.put("bills_filled", bills_filled)?;
        object.put("credited", credited)?.put("tube_value", tube_value)?;
        object.put("recycler_value", recycler_value)?;
        object.put("cashless_1", cashless_1)?.put("cashless_2", cashless_2)?;
        object.0.end()
    }
}

impl Empty for CashIn {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for CashIn {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { total, cash_box, tubes, bills, recycler } = self;
        let mut object = Object::new(to)?;
        object.put("total", total)?.put("cash_box", cash_box)?.put("tubes", tubes)?;
        object.put("bills", bills)?.put("recycler", recycler)?;
        object.0.end()
    }
}

impl Empty for CashOut {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for CashOut {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { dispensed, manual, bills_dispensed, bills_manual, recycler_emptied } = self;
        let mut object = Object::new(to)?;
        object.put("dispensed", dispensed)?.put("manual", manual)?;
        object.put("bills_dispensed", bills_dispensed)?.put("bills_manual", bills_manual)?;
        object.put("recycler_emptied", recycler_emptied)?;
        object.0.end()
    }
}

impl Empty for Cashless {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for Cashless {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { debited, credited, discounts, surcharges, incentive, overpay, mixed } = self;
        let mut object = Object::new(to)?;
        object.put("debited", debited)?.put("credited", credited)?;
        object.put_unless_zero("discounts", discounts)?.put_unless_zero("surcharges", surcharges)?;
        object.put("incentive", incentive)?.put("overpay", overpay)?.put_unless_zero("mixed", mixed)?;
        object.0.end()
    }
}

impl Serialize for CoinTube {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { coin, value, coins, inserted, dispensed, is_full } = self;
        let mut object = Object::new(to)?;
        object.put("coin", coin)?.put("value", value)?.put("coins", coins)?;
        object.put("inserted", inserted)?.put("dispensed", dispensed)?.put("is_full", is_full)?;
        object.0.end()
    }
}

impl Serialize for Bill {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { value, accepted, stacked } = self;
        let mut object = Object::new(to)?;
        object.put("value", value)?.put("accepted", accepted)?.put("stacked", stacked)?;
        object.0.end()
    }
}
