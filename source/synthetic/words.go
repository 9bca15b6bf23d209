package synthetic

// category has the words and the prices of one part of the catalog.
type category struct {
	name      string
	low, high float64 // prices
	materials []string
	nouns     []string // of this category alone
}

// Names are adjective, material and noun: "Nordic Oak Reading Lamp". With 32
// adjectives, 8 materials and 12 nouns a category has 3072 of them.
var adjectives = []string{
	"Alpine", "Amber", "Arched", "Bold", "Classic", "Coastal", "Compact", "Cozy",
	"Curved", "Daily", "Elegant", "Fine", "Folding", "Grand", "Handmade", "Heritage",
	"Light", "Little", "Lunar", "Modern", "Nordic", "Plain", "Quiet", "Robust",
	"Rustic", "Scarlet", "Slim", "Smart", "Soft", "Sturdy", "Urban", "Vintage",
}

var categories = []category{
	{
		"Lighting", 15, 220,
		[]string{"Oak", "Brass", "Glass", "Copper", "Paper", "Linen", "Steel", "Rattan"},
		[]string{
			"Reading Lamp", "Floor Lamp", "Desk Lamp", "Pendant Light", "Wall Light", "Lantern", "Chandelier", "Night Light",
			"Spotlight", "Garland", "Table Lamp", "Candle Holder",
		},
	},
	{
		"Furniture", 60, 1200,
		[]string{"Oak", "Walnut", "Pine", "Beech", "Bamboo", "Steel", "Velvet", "Leather"},
		[]string{
			"Armchair", "Bookcase", "Coffee Table", "Dining Table", "Bench", "Stool", "Sideboard", "Bed Frame",
			"Wardrobe", "Shelf", "Writing Desk", "Nightstand",
		},
	},
	{
		"Kitchen", 8, 180,
		[]string{"Steel", "Cast Iron", "Ceramic", "Copper", "Bamboo", "Enamel", "Stone", "Glass"},
		[]string{
			"Frying Pan", "Saucepan", "Kettle", "Chopping Board", "Mixing Bowl", "Pepper Mill", "Baking Tin", "Teapot",
			"Storage Jar", "Ladle", "Colander", "Butter Dish",
		},
	},
	{
		"Garden", 6, 350,
		[]string{"Teak", "Terracotta", "Zinc", "Steel", "Willow", "Cedar", "Granite", "Copper"},
		[]string{
			"Planter", "Watering Can", "Trowel", "Bird Feeder", "Fire Bowl", "Garden Chair", "Trellis", "Rake",
			"Hose Reel", "Wind Chime", "Pruning Shears", "Compost Bin",
		},
	},
	{
		"Outdoor", 12, 480,
		[]string{"Canvas", "Nylon", "Titanium", "Down", "Aluminum", "Merino", "Cork", "Ripstop"},
		[]string{
			"Tent", "Sleeping Bag", "Backpack", "Camp Stove", "Water Bottle", "Headlamp", "Hammock", "Trekking Pole",
			"Dry Bag", "Camp Chair", "Cook Set", "Rain Cover",
		},
	},
	{
		"Sports", 9, 300,
		[]string{"Carbon", "Rubber", "Cotton", "Mesh", "Steel", "Cork", "Foam", "Neoprene"},
		[]string{
			"Yoga Mat", "Dumbbell", "Tennis Racket", "Jump Rope", "Running Belt", "Bike Helmet", "Swim Goggles", "Kettlebell",
			"Foam Roller", "Basketball", "Climbing Harness", "Resistance Band",
		},
	},
	{
		"Clothing", 14, 260,
		[]string{"Cotton", "Wool", "Linen", "Denim", "Silk", "Cashmere", "Flannel", "Leather"},
		[]string{
			"Shirt", "Sweater", "Jacket", "Scarf", "Trousers", "Dress", "Cardigan", "Coat",
			"Beanie", "Gloves", "Skirt", "Belt",
		},
	},
	{
		"Electronics", 18, 900,
		[]string{"Aluminum", "Bamboo", "Glass", "Carbon", "Walnut", "Titanium", "Fabric", "Ceramic"},
		[]string{
			"Headphones", "Speaker", "Keyboard", "Charging Dock", "Webcam", "Power Bank", "Monitor Stand", "Radio",
			"Turntable", "Microphone", "Tablet Case", "Alarm Clock",
		},
	},
	{
		"Stationery", 2, 60,
		[]string{"Leather", "Brass", "Cedar", "Linen", "Cork", "Kraft", "Cotton", "Ebony"},
		[]string{
			"Notebook", "Fountain Pen", "Pencil Case", "Desk Pad", "Planner", "Letter Opener", "Bookmark", "Sketchbook",
			"Pen Stand", "Paperweight", "Stamp Set", "Card Box",
		},
	},
	{
		"Toys", 5, 120,
		[]string{"Maple", "Felt", "Beech", "Cotton", "Cardboard", "Plush", "Tin", "Birch"},
		[]string{
			"Train Set", "Puzzle", "Teddy Bear", "Building Blocks", "Kite", "Dollhouse", "Spinning Top", "Rocking Horse",
			"Marble Run", "Hand Puppet", "Toy Boat", "Memory Game",
		},
	},
	{
		"Bath", 4, 110,
		[]string{"Bamboo", "Cotton", "Marble", "Olive", "Lavender", "Linen", "Cedar", "Charcoal"},
		[]string{
			"Towel", "Soap Bar", "Bath Mat", "Bathrobe", "Shower Brush", "Soap Dish", "Body Oil", "Bath Salt",
			"Face Cloth", "Laundry Basket", "Toothbrush Cup", "Shower Curtain",
		},
	},
	{
		"Pets", 4, 160,
		[]string{"Leather", "Wool", "Rattan", "Ceramic", "Hemp", "Rubber", "Fleece", "Steel"},
		[]string{
			"Dog Bed", "Cat Tree", "Collar", "Leash", "Food Bowl", "Scratching Post", "Chew Toy", "Pet Carrier",
			"Bird Perch", "Grooming Brush", "Cat Tunnel", "Treat Jar",
		},
	},
}

// brands of style s are those with number s modulo styles.
var brands = []string{
	"Aldern", "Birkholm", "Calvora", "Dunmere", "Elvika", "Fjordal", "Galanis", "Hartwin",
	"Ivalo", "Jorvik", "Kestrelle", "Lindqvist", "Maroval", "Norrhem", "Ostara", "Pellerin",
	"Quillon", "Rosmar", "Solvang", "Tavira", "Umbrel", "Valdane", "Westmark", "Xandria",
	"Yarrow", "Zellner", "Ashgrove", "Bellamy", "Corvane", "Dalhart", "Everly", "Foxmoor",
	"Glenrock", "Hollis", "Inverra", "Juniper", "Kirkwall", "Larkhill", "Mistral", "Northbay",
}

const styles = 8

var countries = []struct {
	code  string
	share float64
}{
	{"DE", 0.22}, {"US", 0.18}, {"FR", 0.13}, {"GB", 0.12}, {"IT", 0.08}, {"ES", 0.07}, {"NL", 0.06}, {"PL", 0.05}, {"SE", 0.04}, {"AT", 0.03}, {"CH", 0.02},
}

// segments are shares of the users by ascending activity.
var segments = []struct {
	name  string
	below float64
}{{"occasional", 0.5}, {"regular", 0.85}, {"loyal", 0.97}, {"vip", 1.01}}
