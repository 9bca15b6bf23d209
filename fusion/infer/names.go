package infer

import (
	"strings"
	"unicode"

	"github.com/kith-io/kith/fusion"
)

// names are the names of columns that tell their meaning, folded, the more telling first. Those of package fusion come before.
var names = map[string][]string{
	"order":    {"order", "orderid", "orderno", "ordernumber", "invoice", "invoiceno", "invoiceid", "invoicenumber", "basket", "basketid", "transactionid", "receipt", "receiptid", "bon"},
	"quantity": {"quantity", "qty", "units", "pieces", "menge", "anzahl"},
	"price":    {"price", "unitprice", "preis", "unitcost", "itemprice", "priceusd", "priceeur", "pricecents", "pricecent"},
	"status":   {"status", "orderstatus", "state", "paymentstatus"},
	"rating":   {"rating", "score", "stars", "reviewscore"},
	"title":    {"title", "name", "productname", "itemname", "description", "productdescription"},
	"person":   {"customeruniqueid", "personid", "accountid", "account"},
	"device":   {"device", "deviceid", "cookie", "cookieid", "anonymousid"},
	"session":  {"session", "sessionid", "visitid"},
	"user":     {"kunde", "kundennummer", "customerno", "customernumber", "clientno", "patron", "shopper", "buyer", "reviewer"},
	"item":     {"artikel", "artikelnummer", "productno", "itemno", "movie", "artist", "book", "song", "track", "article", "gtin", "ean", "upc"},
	"time":     {"orderpurchasetimestamp", "purchasedate", "orderdate", "datum", "created", "reviewcreationdate", "added", "invoicedate", "redemptiondate"},
}

// fold leaves of a name what tells it from others.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// roleOf returns the role that a name tells beyond those of package fusion, or "".
func roleOf(name string) string {
	folded := fold(name)
	for _, role := range []string{"order", "quantity", "price", "status", "rating", "title", "person", "device", "session", "user", "item", "time"} {
		for _, n := range names[role] {
			if n == folded {
				return role
			}
		}
	}
	return ""
}

// plays reports whether a column may be of a role by its name, and its rank among those that may: the smaller, the better.
func plays(role, name string) (rank int, ok bool) {
	folded := fold(name)
	for i, n := range names[role] {
		if n == folded {
			return 10 + i, true
		}
	}
	usual := fusion.UsualRole(name)
	switch {
	case usual == role, role == "rating" && usual == "weight" && folded != "quantity" && folded != "qty":
		return len(folded), true // user before user_id, user_id before household_id
	}
	return 0, false
}

// behaviors translates what logs call behaviors.
var behaviors = map[string]fusion.Behavior{
	"view": fusion.View, "click": fusion.View, "pv": fusion.View, "detail": fusion.View, "pageview": fusion.View, "productview": fusion.View, "impression": "impression",
	"search": fusion.Search, "query": fusion.Search,
	"cart": fusion.Cart, "addtocart": fusion.Cart, "add": fusion.Cart, "basket": fusion.Cart,
	"purchase": fusion.Purchase, "buy": fusion.Purchase, "order": fusion.Purchase, "transaction": fusion.Purchase, "checkout": fusion.Purchase, "bought": fusion.Purchase,
	"cancel": fusion.Cancel, "canceled": fusion.Cancel, "refund": fusion.Cancel, "return": fusion.Cancel,
	"rating": fusion.Rating, "rate": fusion.Rating, "fav": "favorite", "favorite": "favorite", "like": "like",
}

// statuses translates what shops call the status of an order.
var statuses = map[string]string{
	"paid": "purchase", "delivered": "purchase", "shipped": "purchase", "approved": "purchase", "invoiced": "purchase", "complete": "purchase", "completed": "purchase",
	"processing": "purchase", "created": "purchase", "purchase": "purchase", "sent": "purchase", "ok": "purchase", "open": "purchase", "pending": "purchase",
	"cancel": "cancel", "canceled": "cancel", "cancelled": "cancel", "refunded": "cancel", "returned": "cancel", "unavailable": "cancel", "void": "cancel", //nolint:misspell // files have it
}

// kindOf tells products and users by the name of a file.
func kindOf(base string) fusion.Kind {
	for _, hint := range []struct {
		part string
		kind fusion.Kind
	}{
		{"user", fusion.UserRows},
		{"customer", fusion.UserRows},
		{"demographic", fusion.UserRows},
		{"household", fusion.UserRows},
		{"member", fusion.UserRows},
		{"item", fusion.ProductRows},
		{"product", fusion.ProductRows},
		{"movie", fusion.ProductRows},
		{"artist", fusion.ProductRows},
		{"book", fusion.ProductRows},
		{"catalog", fusion.ProductRows},
		{"article", fusion.ProductRows},
	} {
		if strings.Contains(base, hint.part) {
			return hint.kind
		}
	}
	return ""
}
