//! A webhook's row, and what of it replaces the function's settings.

use ironferry::seal::KeyRing;
use ironferry::{Context, Error, Result, Secret};
use order_engine::{Decimal, Settings, Sizing};
use serde::Deserialize;

/// What is needed to let an alert in.
pub(crate) type Config = crate::rows::admission::Row;

/// What a webhook's row says about orders; what is not set is left to the function's settings.
#[derive(Default, Deserialize)]
pub(crate) struct Overrides {
    pub(crate) default_order_quantity: Option<Decimal>,
    pub(crate) position_sizing_method: Option<Sizing>,
    pub(crate) position_size_value: Option<Decimal>,
    alpaca_api_key_sealed: Option<String>,
    alpaca_api_secret_sealed: Option<String>,
    alpaca_api_url: Option<String>,
}

impl Overrides {
    pub(crate) fn account(&self) -> OwnAccount {
        OwnAccount {
            alpaca_api_key_sealed: self.alpaca_api_key_sealed.clone(),
            alpaca_api_secret_sealed: self.alpaca_api_secret_sealed.clone(),
            alpaca_api_url: self.alpaca_api_url.clone(),
        }
    }
}

/// An owner's own account at the broker.
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_field_names)] // they are the columns' names
pub(crate) struct OwnAccount {
    pub(crate) alpaca_api_key_sealed: Option<String>,
    pub(crate) alpaca_api_secret_sealed: Option<String>,
    pub(crate) alpaca_api_url: Option<String>,
}

/// True unless the operator says otherwise: nobody trades by accident.
pub(crate) fn simulation(cx: &Context) -> Result<bool> {
    let text = cx.setting("SIMULATION_MODE", String::from("true"))?;
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(Error::internal("SIMULATION_MODE must be true or false").code("INVALID_SETTING")),
    }
}

/// How orders are made: the row's own settings before the function's.
pub(crate) fn settings(cx: &Context, overrides: &Overrides) -> Result<Settings> {
    let number = |set: Option<Decimal>, name: &str| match set {
        Some(number) => Ok(number),
        None => cx.setting(name, Decimal::ONE),
    };
    let sizing = match (overrides.position_sizing_method, cx.secret("POSITION_SIZING_METHOD")) {
        (Some(sizing), _) => sizing,
        (None, None) => Sizing::Fixed,
        (None, Some(text)) => text.expose().parse().map_err(|()| {
            Error::internal("POSITION_SIZING_METHOD must be fixed, percentage or risk")
                .code("INVALID_SETTING")
        })?,
    };
    Ok(Settings {
        sizing,
        size_value: number(overrides.position_size_value, "POSITION_SIZE_VALUE")?,
        default_quantity: number(overrides.default_order_quantity, "DEFAULT_ORDER_QUANTITY")?,
    })
}

pub(crate) const KEY_RING: &str = "CREDENTIALS_ENCRYPTION_KEYS";

/// Seals a value for one column of one row.
pub(crate) fn seal(cx: &Context, config_id: &str, column: &str, value: &Secret) -> Result<String> {
    KeyRing::from_secret(cx, KEY_RING)?.seal(cx, &place(config_id, column), value)
}

/// Opens what [`seal`] sealed.
pub(crate) fn open(cx: &Context, config_id: &str, column: &str, sealed: &str) -> Result<Secret> {
    KeyRing::from_secret(cx, KEY_RING)?.open(&place(config_id, column), sealed)
}

fn place(config_id: &str, column: &str) -> String {
    format!("webhook_configs/{config_id}/{column}")
}
