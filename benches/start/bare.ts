// What a start of Deno itself costs.

Deno.serve(() => new Response());
