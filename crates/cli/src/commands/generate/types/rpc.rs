//! The functions of the schema: their names, arguments and results.

use super::Options;
use super::catalog::Function;
use super::emit::Page;
use super::names::{self, Unique};
use super::rust::Types;

/// From a module of `rpc` to the top of the file.
const UP: &str = "super::super::";

pub(super) fn functions(page: &mut Page, options: &Options, types: &Types<'_>) {
    let functions: Vec<_> =
        types.catalog.functions.iter().filter(|function| options.wants(&function.name)).collect();
    if functions.is_empty() {
        return;
    }
    page.line("");
    page.doc(None, "The functions: `Args` as PostgREST takes them, `Output` as it gives it.");
    page.open("pub mod rpc");
    page.line("use super::*;");
    let mut modules = Unique::default();
    for one in functions {
        function(page, one, &modules.name(&names::snake(&one.name)), types);
    }
    page.close();
}

fn function(page: &mut Page, one: &Function, module: &str, types: &Types<'_>) {
    page.line("");
    page.doc(one.comment.as_deref(), &format!("The function `{}`.", one.name));
    page.open(&format!("pub mod {module}"));
    page.line("use super::*;");
    page.line("");
    page.text_constant("NAME", &one.name);
    arguments(page, one, types);
    let row = row(page, one, types);
    let output = row.unwrap_or_else(|| types.name(one.returns, UP));
    page.line("");
    page.doc(None, "What it gives.");
    let output = if one.is_set { format!("Vec<{output}>") } else { output };
    page.line(&format!("pub type Output = {output};"));
    page.close();
}

fn arguments(page: &mut Page, one: &Function, types: &Types<'_>) {
    let inputs = one.inputs();
    page.line("");
    if inputs.is_empty() {
        page.doc(None, "No arguments: `{}`.");
        page.line("#[derive(Clone, Debug, Default, PartialEq, Serialize)]");
        page.line("pub struct Args {}");
        return;
    }
    page.doc(None, "The arguments; those that are None have defaults.");
    let default = if inputs.iter().all(|(_, may_go)| *may_go) { ", Default" } else { "" };
    page.line(&format!("#[derive(Clone, Debug{default}, PartialEq, Serialize)]"));
    page.open("pub struct Args");
    let mut unique = Unique::default();
    for (argument, may_go) in inputs {
        let inner = types.name(argument.type_id, UP);
        let rust_type = if may_go { format!("Option<{inner}>") } else { inner };
        page.field(&unique.name(&names::snake(&argument.name)), &argument.name, &rust_type, may_go);
    }
    page.close();
}

/// The row that the function names itself, by `returns table` or several `out` arguments.
fn row(page: &mut Page, one: &Function, types: &Types<'_>) -> Option<String> {
    let outputs = one.outputs();
    if let [only] = outputs[..]
        && only.mode != "t"
    {
        return Some(types.name(only.type_id, UP));
    }
    if outputs.is_empty() {
        return None;
    }
    page.line("");
    page.doc(None, "A row of the result. The database does not say which columns may be null.");
    page.line("#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]");
    page.open("pub struct Row");
    let mut unique = Unique::default();
    for output in outputs {
        let rust_type = format!("Option<{}>", types.name(output.type_id, UP));
        page.field(&unique.name(&names::snake(&output.name)), &output.name, &rust_type, false);
    }
    page.close();
    Some("Row".to_owned())
}
