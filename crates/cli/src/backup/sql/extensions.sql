-- Which of these extensions ($1) this server offers, and which of them only a superuser may make.
select available.name::text, version.superuser and not version.trusted as needs_superuser
from pg_catalog.pg_available_extensions as available
join pg_catalog.pg_available_extension_versions as version
  on version.name = available.name and version.version = available.default_version
where available.name = any ($1)
