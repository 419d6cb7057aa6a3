package sandbox

// All names are fictitious. As at Okta, characters have at most three bytes in
// UTF-8 (developer.okta.com, "Okta API: characters").

// name is a name in its own script and as a part of a login.
type name struct{ own, login string }

// culture is a set of names, addresses and locale settings.
type culture struct {
	country, language, locale, zone, dial string
	familyFirst                           bool // in displayName
	cities                                []string
	streets                               []string
	given, family                         []name
}

var cultures = []culture{
	{
		country: "GB", language: "en", locale: "en_GB", zone: "Europe/London", dial: "+44 20 79",
		cities:  []string{"London", "Leeds", "Bristol"},
		streets: []string{"High Street", "Mill Lane", "St John's Road"},
		given:   []name{{"Alice", "alice"}, {"Oliver", "oliver"}, {"Siobhán", "siobhan"}, {"Harriet", "harriet"}, {"Rhys", "rhys"}, {"Zoë", "zoe"}, {"Mary-Jane", "mary-jane"}, {"Tom", "tom"}},
		family:  []name{{"O'Connell", "oconnell"}, {"Ashworth", "ashworth"}, {"MacLeod", "macleod"}, {"Whitlock", "whitlock"}, {"Smith-Barnes", "smith-barnes"}, {"Pemberton", "pemberton"}, {"de Vere", "devere"}},
	},
	{
		country: "DE", language: "de", locale: "de_DE", zone: "Europe/Berlin", dial: "+49 30 22",
		cities:  []string{"Köln", "München", "Lübeck"},
		streets: []string{"Königsallee", "Große Straße", "Am Mühlbach"},
		given:   []name{{"Jürgen", "juergen"}, {"Käthe", "kaethe"}, {"Björn", "bjoern"}, {"Änne", "aenne"}, {"Lukas", "lukas"}, {"Sören", "soeren"}, {"Frauke", "frauke"}},
		family:  []name{{"Müller", "mueller"}, {"Weiß", "weiss"}, {"Größner", "groessner"}, {"Schäfer", "schaefer"}, {"von der Lühe", "vonderluehe"}, {"Krause", "krause"}, {"Öztürk", "oeztuerk"}},
	},
	{
		country: "PL", language: "pl", locale: "pl_PL", zone: "Europe/Warsaw", dial: "+48 22 51",
		cities:  []string{"Łódź", "Kraków", "Gdańsk"},
		streets: []string{"ulica Świętokrzyska", "aleja Róż", "plac Wolności"},
		given:   []name{{"Łukasz", "lukasz"}, {"Małgorzata", "malgorzata"}, {"Żaneta", "zaneta"}, {"Wojciech", "wojciech"}, {"Grażyna", "grazyna"}, {"Święto", "swieto"}},
		family:  []name{{"Wiśniewska", "wisniewska"}, {"Dąbrowski", "dabrowski"}, {"Źrebiec", "zrebiec"}, {"Kołodziej", "kolodziej"}, {"Pągowska", "pagowska"}},
	},
	{
		country: "VN", language: "vi", locale: "vi_VN", zone: "Asia/Ho_Chi_Minh", dial: "+84 24 38", familyFirst: true,
		cities:  []string{"Hà Nội", "Đà Nẵng", "Huế"},
		streets: []string{"Phố Huế", "Đường Trần Phú", "Ngõ Văn Hương"},
		given:   []name{{"Hương", "huong"}, {"Đức", "duc"}, {"Thảo", "thao"}, {"Quốc Bảo", "quocbao"}, {"Ngọc Ánh", "ngocanh"}},
		family:  []name{{"Nguyễn", "nguyen"}, {"Trần", "tran"}, {"Phạm", "pham"}, {"Đặng", "dang"}, {"Vũ", "vu"}},
	},
	{
		country: "GR", language: "el", locale: "el_GR", zone: "Europe/Athens", dial: "+30 21 03",
		cities:  []string{"Αθήνα", "Θεσσαλονίκη", "Πάτρα"},
		streets: []string{"Οδός Ερμού", "Λεωφόρος Συγγρού"},
		given:   []name{{"Ελένη", "eleni"}, {"Γιώργος", "giorgos"}, {"Χρυσάνθη", "chrysanthi"}, {"Στέφανος", "stefanos"}, {"Ίρις", "iris"}},
		family:  []name{{"Παπαδοπούλου", "papadopoulou"}, {"Κωνσταντίνου", "konstantinou"}, {"Ξυδάκης", "xydakis"}, {"Ωραιόπουλος", "oraiopoulos"}},
	},
	{
		country: "BG", language: "bg", locale: "bg_BG", zone: "Europe/Sofia", dial: "+359 2 93",
		cities:  []string{"София", "Пловдив", "Варна"},
		streets: []string{"ул. Шипка", "бул. Витоша"},
		given:   []name{{"Йорданка", "yordanka"}, {"Димитър", "dimitar"}, {"Снежана", "snezhana"}, {"Ървин", "arvin"}, {"Людмил", "lyudmil"}},
		family:  []name{{"Георгиева", "georgieva"}, {"Стоянов", "stoyanov"}, {"Йовчев", "yovchev"}, {"Щерева", "shtereva"}},
	},
	{
		country: "EG", language: "ar", locale: "ar_EG", zone: "Africa/Cairo", dial: "+20 2 27",
		cities:  []string{"القاهرة", "الإسكندرية"},
		streets: []string{"شارع النيل", "شارع طلعت حرب"},
		given:   []name{{"ليلى", "layla"}, {"محمود", "mahmoud"}, {"فاطمة", "fatma"}, {"أحمد", "ahmed"}, {"نور", "nour"}},
		family:  []name{{"المصري", "elmasry"}, {"عبد الرحمن", "abdelrahman"}, {"حسين", "hussein"}, {"الشريف", "elsherif"}},
	},
	{
		country: "IL", language: "he", locale: "he_IL", zone: "Asia/Jerusalem", dial: "+972 3 69",
		cities:  []string{"תל אביב", "חיפה"},
		streets: []string{"רחוב הרצל", "שדרות רוטשילד"},
		given:   []name{{"נועה", "noa"}, {"איתן", "eitan"}, {"שירה", "shira"}, {"יונתן", "yonatan"}},
		family:  []name{{"כהן", "cohen"}, {"ברק", "barak"}, {"אברמוביץ׳", "abramovich"}, {"מזרחי", "mizrahi"}},
	},
	{
		country: "CN", language: "zh", locale: "zh_CN", zone: "Asia/Shanghai", dial: "+86 21 62", familyFirst: true,
		cities:  []string{"上海", "成都", "西安"},
		streets: []string{"南京西路", "人民路", "长安街"},
		given:   []name{{"秀英", "xiuying"}, {"建国", "jianguo"}, {"雨桐", "yutong"}, {"伟", "wei"}, {"晓燕", "xiaoyan"}},
		family:  []name{{"王", "wang"}, {"欧阳", "ouyang"}, {"张", "zhang"}, {"陈", "chen"}, {"赵", "zhao"}},
	},
	{
		country: "JP", language: "ja", locale: "ja_JP", zone: "Asia/Tokyo", dial: "+81 3 35", familyFirst: true,
		cities:  []string{"東京", "さいたま", "福岡"},
		streets: []string{"桜通り", "みどり町", "ハーバー通り"},
		given:   []name{{"恵子", "keiko"}, {"さくら", "sakura"}, {"健太", "kenta"}, {"ユウキ", "yuuki"}, {"まゆみ", "mayumi"}},
		family:  []name{{"田中", "tanaka"}, {"渡邉", "watanabe"}, {"サトウ", "satou"}, {"小野寺", "onodera"}, {"長谷川", "hasegawa"}},
	},
	{
		country: "KR", language: "ko", locale: "ko_KR", zone: "Asia/Seoul", dial: "+82 2 73", familyFirst: true,
		cities:  []string{"서울", "부산"},
		streets: []string{"세종대로", "한강로"},
		given:   []name{{"민준", "minjun"}, {"서연", "seoyeon"}, {"지훈", "jihun"}, {"하은", "haeun"}},
		family:  []name{{"김", "kim"}, {"박", "park"}, {"최", "choi"}, {"남궁", "namgung"}},
	},
	{
		country: "IN", language: "hi", locale: "hi_IN", zone: "Asia/Kolkata", dial: "+91 11 23",
		cities:  []string{"दिल्ली", "मुंबई"},
		streets: []string{"महात्मा गांधी मार्ग", "स्टेशन रोड"},
		given:   []name{{"प्रिया", "priya"}, {"अर्जुन", "arjun"}, {"लक्ष्मी", "lakshmi"}, {"विक्रम", "vikram"}},
		family:  []name{{"शर्मा", "sharma"}, {"कृष्णमूर्ति", "krishnamurthy"}, {"सिंह", "singh"}, {"पटेल", "patel"}},
	},
	{
		country: "TH", language: "th", locale: "th_TH", zone: "Asia/Bangkok", dial: "+66 2 61",
		cities:  []string{"กรุงเทพมหานคร", "เชียงใหม่"},
		streets: []string{"ถนนสุขุมวิท", "ถนนเจริญกรุง"},
		given:   []name{{"สมชาย", "somchai"}, {"กัญญา", "kanya"}, {"ณัฐพล", "natthaphon"}, {"พิมพ์ใจ", "phimchai"}},
		family:  []name{{"ใจดี", "chaidi"}, {"ศรีสุวรรณ", "sisuwan"}, {"วงศ์ทอง", "wongthong"}},
	},
}

const (
	company = "Brightwater Instruments"
	domain  = "brightwater.example"
)

// department is a department of the company, with the titles of its users.
type department struct {
	name, division, costCenter string
	titles                     []string
}

var departments = []department{
	{"Engineering", "Products", "CC-1100", []string{"Firmware Engineer", "Staff Engineer", "Test Engineer, Sensors", "Engineering Manager"}},
	{"R&D <Optics>", "Products", "CC-1150", []string{"Physicist", "Optical Designer", "Lab \"Clean Room\" Lead"}},
	{"Sales", "Markets", "CC-2100", []string{"Account Executive", "Sales Engineer", "Regional Director"}},
	{"Customer Care", "Markets", "CC-2200", []string{"Support Specialist", "Escalation Manager"}},
	{"Finance", "Corporate", "CC-3100", []string{"Controller", "Accounts Payable Clerk", "Treasury Analyst"}},
	{"People", "Corporate", "CC-3200", []string{"Recruiter", "HR Business Partner", "Payroll Specialist"}},
	{"Legal & Compliance", "Corporate", "CC-3300", []string{"Counsel", "Export Control Officer"}},
	{"IT", "Corporate", "CC-3400", []string{"Site Reliability Engineer", "Identity Engineer", "Service Desk Agent"}},
	{"Operations", "Supply", "CC-4100", []string{"Plant Supervisor", "Planner", "Shift Lead"}},
	{"Qualität", "Supply", "CC-4200", []string{"Prüfingenieur/in", "Quality Manager"}},
}

var (
	certifications = []string{"ISO 9001 auditor", "first aid", "forklift", "PRINCE2", "消防設備士", "laser safety", "CISA"}
	questions      = []string{"Where did you spend your childhood summers?", "Wie hieß Ihr erstes Haustier?", "あなたの母の旧姓は？"}
	userTypes      = []string{"Employee", "Employee", "Employee", "Contractor", "Intern", ""}
)
