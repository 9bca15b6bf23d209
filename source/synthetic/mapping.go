package synthetic

import "context"

func (g *generator) writeMapping(context.Context) error {
	t := g.open(MappingFile, "")
	t.text(mapping)
	return g.close(t)
}

// mapping says how to read the logs. It is what `kith ingest --mapping` takes.
const mapping = `# How to read the products and the logs of this generated shop:
#
#   kith ingest --mapping map.yaml
#
# Paths are relative to this file. See truth.json for what is planted.
sources:
  - name: products
    kind: products
    path: products.csv
    fields:
      item: item
      title: name
      category: category
      brand: brand
      price: {column: price, type: number}
      stock: {column: stock, type: number}
      since: {column: added, type: time}
  - name: events
    path: events.csv
    format: csv
    columns:
      id: event
      time: time
      user: user # of anonymous sessions the device; see identities.csv
      item: item
      behavior: behavior
    behaviors:
      view: view
      search: search
      cart: cart
  - name: orders
    path: orders.csv
    format: csv
    columns:
      id: event
      time: time
      user: user
      item: item
      behavior: status
      value: quantity
      context:
        order: order # makes baskets
        price: price
    behaviors:
      purchase: purchase
      cancel: cancel
`

func (g *generator) writeFusion(context.Context) error {
	t := g.open(FusionFile, "")
	t.text(fusion)
	return g.close(t)
}

// fusion says how all files of a shop with identities become one view.
const fusion = `# How all files of this generated shop become one view of its users and products:
#
#   kith ingest --mapping fuse.yaml --report report.html
#
# The truth_*.csv files say what is right.
sources:
  # Who is who.
  - name: accounts
    kind: users
    path: accounts.csv
    fields: {user: account, email: email, phone: phone, name: name, postcode: postcode}
    personal: [email, phone, name, postcode] # to find second accounts by, and not to store
  - name: customers
    kind: users
    path: users.csv
    fields: {user: user, country: country, signup: {column: signup, type: time}, segment: segment}
  - name: devices
    kind: links
    path: identities.csv
    keys: [account, device]
    fields: {account: user, device: device}
  - name: sightings
    kind: links
    path: sightings.csv
    keys: [account, device, cookie]
    fields: {account: account, device: device, cookie: cookie}

  # What is what.
  - name: catalog
    kind: products
    path: products.csv
    fields:
      item: item
      title: name
      category: category
      brand: brand
      price: {column: price, type: number}
      stock: {column: stock, type: number}
      since: {column: added, type: time}
      updated: {column: added, type: time}
  - name: supplier
    kind: products
    item_kind: supplier
    path: supplier.csv
    fields:
      item: sku
      title: {column: title, normalize: [spaces]}
      category: category
      brand: brand
      price: {column: price_cents, type: number, unit: cents}
      weight_g: {column: weight_g, type: number}
      updated: {column: updated, type: time}
  - name: marketplace
    kind: products
    path: marketplace.csv
    fields:
      item: item
      brand: brand
      price: {column: price, type: number}
      weight_g: {column: weight_g, type: number}
      updated: {column: updated, type: time}
  - name: numbers
    kind: links
    of: products
    path: sku_map.csv
    keys: [sku, supplier]
    fields: {sku: item, supplier: sku}

  # What happened.
  - name: events
    path: events.csv
    fields:
      id: event
      time: time
      user: user
      user_kind: {expr: 'user startsWith "D" ? "device" : "account"'} # without a login it is the device
      item: item
      behavior: {column: behavior, values: {view: view, search: search, cart: cart}}
      session: session
    clean:
      - {rule: duplicates, name: repeated, fields: [id]}
      - {rule: bots, user: user, time: time, item: item}
  - name: orders
    kind: orders
    path: orders.csv
    fields:
      id: event
      time: time
      user: user
      item: item
      order: order
      line: line
      price: {column: price, type: number}
      quantity: {column: quantity, type: number}
      status: {column: status, values: {purchase: purchase, cancel: cancel}}
    clean:
      - {rule: duplicates, name: repeated, fields: [id]}

users:
  kinds: [account, device, cookie]
  match: {email: email, phone: phone, name: name, postcode: postcode}
products:
  kinds: [sku, supplier]
  titles: {field: title, agree: [category, brand]}
  trust: [catalog, supplier, marketplace]
  changed: updated
  fields: {brand: majority, price: newest}
`
