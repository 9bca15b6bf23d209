package synthetic

// synonyms are words that the supplier has for parts of names.
var synonyms = map[string]string{
	"Reading Lamp": "Reading Light", "Floor Lamp": "Standing Lamp", "Desk Lamp": "Desk Light", "Pendant Light": "Hanging Lamp", "Wall Light": "Wall Sconce",
	"Armchair": "Easy Chair", "Bookcase": "Bookshelf", "Stool": "Footstool", "Wardrobe": "Closet", "Nightstand": "Bedside Table", "Sideboard": "Buffet",
	"Frying Pan": "Skillet", "Saucepan": "Pot", "Chopping Board": "Cutting Board", "Baking Tin": "Cake Tin", "Trousers": "Pants", "Sweater": "Pullover",
	"Jacket": "Blouson", "Backpack": "Rucksack", "Headlamp": "Head Torch", "Headphones": "Earphones", "Notebook": "Notepad", "Planner": "Diary",
	"Leash": "Dog Lead", "Planter": "Flower Pot", "Towel": "Bath Towel", "Puzzle": "Jigsaw", "Radio": "Tuner", "Handmade": "Handcrafted", "Little": "Small",
	"Sturdy": "Solid", "Fine": "Delicate", "Grand": "Large", "Steel": "Stainless Steel",
}

// Synonyms returns the words that the supplier writes otherwise, by lower-case word: those that a shop can tell apart from names, one word each.
func Synonyms() map[string]string {
	return map[string]string{
		"handcrafted": "handmade", "small": "little", "solid": "sturdy", "delicate": "fine", "large": "grand", "stainless": "", "skillet": "pan", "frying": "",
		"pullover": "sweater", "rucksack": "backpack", "earphones": "headphones", "notepad": "notebook", "diary": "planner", "jigsaw": "puzzle", "tuner": "radio",
		"pants": "trousers", "closet": "wardrobe", "bookshelf": "bookcase", "footstool": "stool", "buffet": "sideboard", "blouson": "jacket",
	}
}

// chineseWords translates the parts of names.
var chineseWords = map[string]string{
	"Alpine": "阿尔卑斯", "Amber": "琥珀色", "Arched": "拱形", "Bold": "大胆", "Classic": "经典", "Coastal": "海岸", "Compact": "紧凑型", "Cozy": "舒适",
	"Curved": "弧形", "Daily": "日用", "Elegant": "优雅", "Fine": "精致", "Folding": "折叠", "Grand": "豪华", "Handmade": "手工", "Heritage": "传统",
	"Light": "轻便", "Little": "小号", "Lunar": "月光", "Modern": "现代", "Nordic": "北欧", "Plain": "简约", "Quiet": "静音", "Robust": "结实",
	"Rustic": "乡村", "Scarlet": "猩红", "Slim": "纤薄", "Smart": "智能", "Soft": "柔软", "Sturdy": "坚固", "Urban": "都市", "Vintage": "复古",

	"Oak": "橡木", "Brass": "黄铜", "Glass": "玻璃", "Copper": "铜制", "Paper": "纸质", "Linen": "亚麻", "Steel": "不锈钢", "Rattan": "藤编",
	"Walnut": "胡桃木", "Pine": "松木", "Beech": "榉木", "Bamboo": "竹制", "Velvet": "天鹅绒", "Leather": "皮革", "Cast Iron": "铸铁", "Ceramic": "陶瓷",
	"Enamel": "搪瓷", "Stone": "石制", "Teak": "柚木", "Terracotta": "赤陶", "Zinc": "镀锌", "Willow": "柳编", "Cedar": "雪松", "Granite": "花岗岩",
	"Canvas": "帆布", "Nylon": "尼龙", "Titanium": "钛合金", "Down": "羽绒", "Aluminum": "铝制", "Merino": "美利奴", "Cork": "软木", "Ripstop": "防撕裂",
	"Carbon": "碳纤维", "Rubber": "橡胶", "Cotton": "纯棉", "Mesh": "网布", "Foam": "泡沫", "Neoprene": "氯丁橡胶", "Wool": "羊毛", "Denim": "牛仔布",
	"Silk": "真丝", "Cashmere": "羊绒", "Flannel": "法兰绒", "Fabric": "布艺", "Kraft": "牛皮纸", "Ebony": "乌木", "Maple": "枫木", "Felt": "毛毡",
	"Cardboard": "纸板", "Plush": "毛绒", "Tin": "锡制", "Birch": "桦木", "Marble": "大理石", "Olive": "橄榄", "Lavender": "薰衣草", "Charcoal": "竹炭",
	"Hemp": "麻绳", "Fleece": "抓绒",

	"Reading Lamp": "阅读灯", "Floor Lamp": "落地灯", "Desk Lamp": "书桌灯", "Pendant Light": "吊灯", "Wall Light": "壁灯", "Lantern": "灯笼", "Chandelier": "枝形吊灯",
	"Night Light": "小夜灯", "Spotlight": "射灯", "Garland": "灯串", "Table Lamp": "台灯", "Candle Holder": "烛台",
	"Armchair": "扶手椅", "Bookcase": "书柜", "Coffee Table": "茶几", "Dining Table": "餐桌", "Bench": "长凳", "Stool": "凳子", "Sideboard": "餐边柜", "Bed Frame": "床架",
	"Wardrobe": "衣柜", "Shelf": "置物架", "Writing Desk": "写字台", "Nightstand": "床头柜",
	"Frying Pan": "煎锅", "Saucepan": "汤锅", "Kettle": "水壶", "Chopping Board": "砧板", "Mixing Bowl": "搅拌碗", "Pepper Mill": "胡椒研磨器", "Baking Tin": "烤盘",
	"Teapot": "茶壶", "Storage Jar": "储物罐", "Ladle": "汤勺", "Colander": "滤盆", "Butter Dish": "黄油碟",
	"Planter": "花盆", "Watering Can": "洒水壶", "Trowel": "小铲", "Bird Feeder": "喂鸟器", "Fire Bowl": "火盆", "Garden Chair": "花园椅", "Trellis": "花架", "Rake": "耙子",
	"Hose Reel": "水管卷盘", "Wind Chime": "风铃", "Pruning Shears": "修枝剪", "Compost Bin": "堆肥桶",
	"Tent": "帐篷", "Sleeping Bag": "睡袋", "Backpack": "背包", "Camp Stove": "露营炉", "Water Bottle": "运动水瓶", "Headlamp": "头灯", "Hammock": "吊床",
	"Trekking Pole": "登山杖", "Dry Bag": "防水袋", "Camp Chair": "露营椅", "Cook Set": "炊具套装", "Rain Cover": "防雨罩",
	"Yoga Mat": "瑜伽垫", "Dumbbell": "哑铃", "Tennis Racket": "网球拍", "Jump Rope": "跳绳", "Running Belt": "跑步腰包", "Bike Helmet": "自行车头盔", "Swim Goggles": "泳镜",
	"Kettlebell": "壶铃", "Foam Roller": "泡沫轴", "Basketball": "篮球", "Climbing Harness": "攀岩安全带", "Resistance Band": "阻力带",
	"Shirt": "衬衫", "Sweater": "毛衣", "Jacket": "夹克", "Scarf": "围巾", "Trousers": "长裤", "Dress": "连衣裙", "Cardigan": "开衫", "Coat": "大衣",
	"Beanie": "针织帽", "Gloves": "手套", "Skirt": "半身裙", "Belt": "腰带",
	"Headphones": "耳机", "Speaker": "音箱", "Keyboard": "键盘", "Charging Dock": "充电座", "Webcam": "摄像头", "Power Bank": "充电宝", "Monitor Stand": "显示器支架",
	"Radio": "收音机", "Turntable": "唱机", "Microphone": "麦克风", "Tablet Case": "平板保护套", "Alarm Clock": "闹钟",
	"Notebook": "笔记本", "Fountain Pen": "钢笔", "Pencil Case": "笔袋", "Desk Pad": "桌垫", "Planner": "日程本", "Letter Opener": "开信刀", "Bookmark": "书签",
	"Sketchbook": "素描本", "Pen Stand": "笔筒", "Paperweight": "镇纸", "Stamp Set": "印章套装", "Card Box": "卡片盒",
	"Train Set": "火车玩具", "Puzzle": "拼图", "Teddy Bear": "泰迪熊", "Building Blocks": "积木", "Kite": "风筝", "Dollhouse": "娃娃屋", "Spinning Top": "陀螺",
	"Rocking Horse": "摇摇马", "Marble Run": "弹珠轨道", "Hand Puppet": "手偶", "Toy Boat": "玩具船", "Memory Game": "记忆游戏",
	"Towel": "毛巾", "Soap Bar": "香皂", "Bath Mat": "浴室垫", "Bathrobe": "浴袍", "Shower Brush": "沐浴刷", "Soap Dish": "皂盒", "Body Oil": "身体油", "Bath Salt": "浴盐",
	"Face Cloth": "洗脸巾", "Laundry Basket": "洗衣篮", "Toothbrush Cup": "牙刷杯", "Shower Curtain": "浴帘",
	"Dog Bed": "狗窝", "Cat Tree": "猫爬架", "Collar": "项圈", "Leash": "牵引绳", "Food Bowl": "食盆", "Scratching Post": "猫抓柱", "Chew Toy": "磨牙玩具",
	"Pet Carrier": "宠物箱", "Bird Perch": "鸟栖木", "Grooming Brush": "梳毛刷", "Cat Tunnel": "猫隧道", "Treat Jar": "零食罐",
}
