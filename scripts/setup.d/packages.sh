# shellcheck shell=bash
# What the distribution provides: PostgreSQL and its extensions, Redis, and two test tools.

what_packages() { echo "PostgreSQL $PG_VERSION with pg_cron, pgTAP, plpgsql_check, headers; Redis; pg_prove; shellcheck; openssl"; }

# Looks for the things themselves, so that it is right on systems without apt too.
missing_packages() {
  local pg=postgresql-$PG_VERSION share=/usr/share/postgresql/$PG_VERSION
  [[ -d $share ]] || share=$(pg_config --sharedir 2>/dev/null) || share=""
  command -v cc >/dev/null || echo build-essential
  [[ -x /usr/lib/postgresql/$PG_VERSION/bin/initdb ]] || command -v initdb >/dev/null || echo "$pg"
  [[ -e $share/extension/pg_cron.control ]] || echo "$pg-cron"
  [[ -e $share/extension/pgtap.control ]] || echo "$pg-pgtap"
  [[ -e $share/extension/plpgsql_check.control ]] || echo "$pg-plpgsql-check"
  # `ferry` compiles a module for the server.
  [[ -e /usr/include/postgresql/$PG_VERSION/server/postgres.h ]] || echo "postgresql-server-dev-$PG_VERSION"
  command -v pg_prove >/dev/null || echo libtap-parser-sourcehandler-pgtap-perl
  command -v redis-server >/dev/null || echo redis-server
  command -v shellcheck >/dev/null || echo shellcheck
  command -v openssl >/dev/null || echo openssl
}

install_packages() {
  local packages
  mapfile -t packages < <(missing_packages)
  apt_ready "${packages[@]}"
  choose_postgres
  mapfile -t packages < <(missing_packages)
  apt_install "${packages[@]}"
}

# Takes another version where the distribution does not have this one with all three extensions.
choose_postgres() {
  local names version
  names=$(apt-cache pkgnames postgresql-)
  for version in "$PG_VERSION" 17 18 16 15; do
    if grep -qx "postgresql-$version-cron" <<<"$names" && grep -qx "postgresql-$version-plpgsql-check" <<<"$names"; then
      PG_VERSION=$version
      return
    fi
  done
}

as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 "$@"; }

apt_ready() { # PACKAGE…: says what to do where they cannot be installed
  if ! command -v apt-get >/dev/null; then
    echo "There is no apt-get here. Install these, or what your system calls them: $*"
    return 1
  elif ((EUID != 0)) && ! command -v sudo >/dev/null; then
    echo "This needs root, and there is no sudo. As root: apt-get install --no-install-recommends $*"
    return 1
  fi
  apt update
}

# Installs without starting services, making database clusters, or removing what is in the way.
apt_install() { # PACKAGE…
  trap release_services EXIT
  hold_services
  if [[ " $* " == *" postgresql-"* ]]; then
    apt install --no-remove --no-install-recommends postgresql-common
    hold_clusters
  fi
  apt install --no-remove --no-install-recommends "$@"
}

POLICY=/usr/sbin/policy-rc.d
CLUSTERS=/etc/postgresql-common/createcluster.conf

# Debian asks this file before it starts a service; 101 says no.
hold_services() {
  if [[ -e $POLICY ]]; then return; fi
  printf '#!/bin/sh\n# While the setup of Ironferry runs.\nexit 101\n' | as_root tee $POLICY >/dev/null
  as_root chmod 755 $POLICY
}

# The local stack makes its own cluster; the package's would only occupy port 5432.
hold_clusters() {
  as_root cp --no-clobber $CLUSTERS $CLUSTERS.before-ironferry
  as_root sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' $CLUSTERS
}

release_services() {
  if grep -qs Ironferry $POLICY; then as_root rm -f $POLICY; fi
  if [[ -e $CLUSTERS.before-ironferry ]]; then as_root mv $CLUSTERS.before-ironferry $CLUSTERS; fi
}
